#pragma once
// A slab on its way: from global memory to shared memory in the background, then from A to C.
#include <limits>

#include "cuda/redistribute_tile.cuh"

namespace drsl::cuda {

template <class E, class Multiply, From kFrom>
struct SlabLoader {
  using T = Accumulator<E>;
  using Memory = TileMemory<E, Multiply>;
  static constexpr bool kDirect = kFrom != From::kGallery;      // needs A_ij
  static constexpr bool kTransposed = kFrom != From::kQueries;  // needs A_ji
  static constexpr int kThreads = Multiply::kThreads, kRows = Multiply::kRows,
                       kDims = Multiply::kDims;
  static constexpr int kChunk = 16 / sizeof(T);  // numbers copied at once

  const RedistributeTask<E>& task;
  Memory& memory;

  // Σ_j C_ij of the thread's rows over what was prepared since it was last set to 0.
  T row_sum[4] = {};

  // Begins to load terms [first, first + kSlab).
  __device__ __forceinline__ void begin(int first, int buffer) {
    const int thread = computed_here(int(threadIdx.x));
    if constexpr (kDirect) begin_direct(first, thread);
    if constexpr (kTransposed) begin_transposed(first, thread, memory.slabs.slab[buffer]);
    begin_operand(first, thread, memory.slabs.operand[buffer]);
    begin_flags(first, thread);
    cp_async_commit();
  }

  // What has arrived: A → C, bad rows → 0. Between barriers.
  __device__ __forceinline__ void prepare(int buffer) {
    T c[4][4] = {};  // [term][row]
    T* const slab = memory.slabs.slab[buffer];
    const int thread = computed_here(int(threadIdx.x));
    const int quad = Multiply::row_quad(thread), term = 4 * Multiply::term_quad(thread);
    const NearBits near = near_bits(quad, term);
    if constexpr (kDirect) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const auto line = *reinterpret_cast<const QuadOf<T>*>(memory.slabs.direct +
                                                              direct_place(4 * quad + j, term / 4));
#pragma unroll
        for (int i = 0; i < 4; ++i) c[i][j] = line.at[i];
      }
    }
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      QuadOf<T> line[2]{};
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        T* const at = slab + place<Multiply, T>(term + i + h, quad, kRows);
        if constexpr (kTransposed) line[h] = *reinterpret_cast<const QuadOf<T>*>(at);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          T& a = line[h].at[j];
          if constexpr (kDirect) a = kTransposed ? c[i + h][j] + a : c[i + h][j];
          a = near(i + h, j) ? T(0) : Multiply::round(a);
          row_sum[j] += a;
        }
      }
      Multiply::arrange(line);
#pragma unroll
      for (int h = 0; h < 2; ++h)
        *reinterpret_cast<QuadOf<T>*>(slab + place<Multiply, T>(term + i + h, quad, kRows)) =
            line[h];
    }
    clear_untrusted(memory.slabs.operand[buffer]);
  }

 private:
  // Quads of four lines that threads read at once lie in different banks.
  static __device__ __forceinline__ int direct_place(int row, int quad) {
    return row * kSlab + 4 * (quad ^ (row / 4 % Multiply::kTermQuads));
  }

  __device__ __forceinline__ void begin_direct(int first, int thread) {
    constexpr int kChunks = kSlab / kChunk, kStep = kThreads / kChunks;
    const int row = thread / kChunks, at = thread % kChunks * kChunk;
    const int rows = rows_of(task.rows - memory.first_row, kRows) - row;
    const T* from =
        task.coefficients(memory.set) + int64_t(memory.first_row + row) * task.ld + first + at;
#pragma unroll
    for (int n = 0; n < kRows; n += kStep, from += int64_t(kStep) * task.ld)
      cp_async_16(memory.slabs.direct + direct_place(row + n, at / 4) + at % 4, from, n < rows);
  }

  __device__ __forceinline__ void begin_transposed(int first, int thread, T* slab) {
    constexpr int kChunks = kRows / kChunk, kStep = kThreads / kChunks;
    const int term = thread / kChunks, at = thread % kChunks * kChunk;
    const int terms = rows_of(task.terms - first, kSlab) - term;
    const T* from =
        task.coefficients(memory.set) + int64_t(first + term) * task.ld + memory.first_row + at;
#pragma unroll
    for (int n = 0; n < kSlab; n += kStep, from += int64_t(kStep) * task.ld)
      cp_async_16(slab + place<Multiply, T>(term + n, at / 4, kRows) + at % 4, from, n < terms);
  }

  __device__ __forceinline__ void begin_operand(int first, int thread, E* operand) {
    constexpr int kPack = Pack<E>::kCount, kChunks = kDims / kPack, kStep = kThreads / kChunks;
    const int term = thread / kChunks, at = thread % kChunks * kPack;
    const int dims = rows_of(task.dim - memory.first_dim, kDims);
    const int terms = at < dims ? rows_of(task.terms - first, kSlab) - term : 0;
    const E* from =
        task.other_rows(memory.set) + int64_t(first + term) * task.dim + memory.first_dim + at;
    const auto to = [&](int n) {
      return operand + place<Multiply, E>(term + n, at / 4, kDims) + at % 4;
    };
    if (task.aligned) {
#pragma unroll
      for (int n = 0; n < kSlab; n += kStep, from += int64_t(kStep) * task.dim)
        cp_async_16(to(n), from, n < terms);
    } else {
#pragma unroll 1
      for (int n = 0; n < kSlab; n += kStep, from += int64_t(kStep) * task.dim)
        *reinterpret_cast<Pack<E>*>(to(n)) = load_pack(from, 0, n < terms ? dims - at : 0, false);
    }
  }

  static __device__ __forceinline__ int rows_of(int left, int most) {
    return left < most ? left : most;
  }

  // memory.near: a word of each row, or of each term as many words as the rows take.
  static constexpr int kWords = kDirect ? 1 : kRows / 32, kLines = kDirect ? kRows : kSlab;

  __device__ __forceinline__ void begin_flags(int first, int thread) {
    static_assert(kWords * kLines <= kRows);
    const int i = thread;
    if (i < kWords * kLines) {
      const int line = (kDirect ? memory.first_row : first) + i / kWords;
      const int word = (kDirect ? first : memory.first_row) / 32 + i % kWords;
      const bool valid = line < (kDirect ? task.rows : task.terms);
      cp_async<4>(memory.near + i,
                  task.near_bits(memory.set) + int64_t(line) * (task.ld / 32) + word, valid);
    }
    if (i < kSlab)
      cp_async<sizeof(T)>(memory.norm2 + i, task.other_norm2(memory.set) + first + i,
                          first + i < task.terms);
  }

  // Flags of the thread's 4 × 4 coefficients, one bit each.
  struct NearBits {
    uint32_t word[4];
    // Term i and row j. A pair is near from both sides.
    __device__ __forceinline__ bool operator()(int i, int j) const {
      return kDirect ? word[j] >> i & 1 : word[i] >> j & 1;
    }
  };
  __device__ __forceinline__ NearBits near_bits(int quad, int term) const {
    NearBits near;
#pragma unroll
    for (int i = 0; i < 4; ++i)
      near.word[i] = kDirect ? memory.near[4 * quad + i] >> term
                             : memory.near[(term + i) * kWords + quad / 8] >> (4 * quad % 32);
    return near;
  }

  // Rows that are bad have coefficients 0 or NaN, and 0 · NaN must be 0. Rows that products cannot be
  // trusted with are near to all, and their coefficients 0 by now.
  __device__ __forceinline__ void clear_untrusted(E* operand) const {
    const int term = int(threadIdx.x);
    if (term >= kSlab || memory.norm2[term] <= std::numeric_limits<T>::max()) return;
    for (int k = 0; k < kDims; ++k) operand[term * kDims + k] = E{};
  }
};

}  // namespace drsl::cuda
