#pragma once
// How a problem is run, decided from its shape alone: the same shape always takes the
// same way, whatever memory happens to be free, so results repeat bit by bit and
// workspace is known beforehand.
#include <cstdint>

namespace drsl {

struct Shape {
  int64_t sets, rows, columns, dim;  // S, B, G, D
  bool self;                         // the gallery is the batch
  bool gradient;                     // forward only otherwise
  int64_t item;                      // bytes of a number of the accumulation type
};

enum class Path { kEmpty, kTriangle, kSmall, kInMemory, kStreaming };

struct Plan {
  Path path;
  int64_t sets;             // problems handled together
  int64_t block_rows;       // query rows of each handled together
  int64_t leading;          // distance between rows of the coefficient block, in numbers
  int64_t workspace_bytes;  // beside inputs and results
  const char* why;
};

inline const char* name(Path path) {
  switch (path) {
    case Path::kEmpty:
      return "empty";
    case Path::kTriangle:
      return "triangle";
    case Path::kSmall:
      return "small";
    case Path::kInMemory:
      return "in memory";
    case Path::kStreaming:
      return "streaming";
  }
  return "";
}

Plan plan_cpu(const Shape& shape);

}  // namespace drsl
