#pragma once
// Where `__shared__ T memory[n];` lies: thread-local memory begins as 0 and keeps what the block before left,
// the shared memory of a GPU holds anything. The names in this program's own file say which variables
// belong to which kernel, so that they can be filled when a block begins.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace cuda_on_host {

class StaticShared {
 public:
  struct Piece {
    uint64_t offset, bytes;
  };

  static const StaticShared& of_this_program() {
    static const StaticShared found;
    return found;
  }

  const std::vector<Piece>& everywhere() const { return all_; }
  std::vector<Piece> of(const void* kernel) const {
    const auto name = kernels_.find(reinterpret_cast<uintptr_t>(kernel) - base_);
    std::vector<Piece> pieces;
    if (name == kernels_.end()) return pieces;
    const std::string start = "_ZZ" + name->second.substr(2) + "E";  // mangled: its local variables
    for (size_t i = 0; i < all_.size(); ++i)
      if (names_[i].starts_with(start)) pieces.push_back(all_[i]);
    return pieces;
  }

  // The calling host thread's copy of all thread-local variables; null if there is none.
  char* memory() const {
    struct Search {
      uintptr_t base;
      char* memory;
    } search{base_, nullptr};
    const auto look = [](dl_phdr_info* info, size_t, void* data) {
      auto* const s = static_cast<Search*>(data);
      if (info->dlpi_addr != s->base) return 0;
      s->memory = static_cast<char*>(info->dlpi_tls_data);
      return 1;
    };
    dl_iterate_phdr(look, &search);
    return search.memory;
  }
  // All ones: NaN, -1, or an index far out of bounds.
  static void fill(char* memory, const std::vector<Piece>& pieces) {
    if (!memory) return;
    for (const Piece& piece : pieces) std::memset(memory + piece.offset, 0xff, piece.bytes);
  }

 private:
  StaticShared() {
    static const char mine = 0;
    Dl_info self{};
    link_map* map = nullptr;
    if (!dladdr1(&mine, &self, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP)) return;
    base_ = map->l_addr;
    std::ifstream file(map->l_name[0] ? map->l_name : "/proc/self/exe",
                       std::ios::binary | std::ios::ate);
    std::vector<char> bytes(file ? size_t(file.tellg()) : 0);
    file.seekg(0).read(bytes.data(), std::streamsize(bytes.size()));
    if (bytes.size() < sizeof(Elf64_Ehdr) || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0)
      return;
    const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(bytes.data());
    const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(&bytes[header->e_shoff]);
    for (int i = 0; i < header->e_shnum; ++i) {
      if (sections[i].sh_type != SHT_SYMTAB) continue;
      const auto* const first = reinterpret_cast<const Elf64_Sym*>(&bytes[sections[i].sh_offset]);
      const char* const names = &bytes[sections[sections[i].sh_link].sh_offset];
      for (uint64_t s = 0; s < sections[i].sh_size / sizeof(Elf64_Sym); ++s)
        note(first[s], names + first[s].st_name);
    }
  }

  // Thread-local variables of functions are __shared__, but for those of the emulator and of libraries.
  void note(const Elf64_Sym& symbol, const char* name_) {
    const std::string name = name_;
    const auto type = ELF64_ST_TYPE(symbol.st_info);
    if (type == STT_FUNC && symbol.st_value != 0) kernels_[symbol.st_value] = name;
    if (type != STT_TLS || !name.starts_with("_ZZ")) return;
    for (const char* other : {"_ZZN12cuda_on_host", "_ZZNSt", "_ZZSt", "_ZZN5torch", "_ZZN3c10"})
      if (name.starts_with(other)) return;
    all_.push_back({symbol.st_value, symbol.st_size});
    names_.push_back(name);
  }

  uintptr_t base_ = 0;
  std::vector<Piece> all_;
  std::vector<std::string> names_;
  std::unordered_map<uint64_t, std::string> kernels_;  // by address
};

}  // namespace cuda_on_host
