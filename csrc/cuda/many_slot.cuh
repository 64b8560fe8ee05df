#pragma once
// Memory of one row with many positives: what lasts as long as the row does, and work space.
#include <cstdint>

#include "core/host_device.h"
#include "core/positives.h"
#include "cuda/block_scan.cuh"
#include "cuda/block_sort.cuh"
#include "cuda/ranked_sums.cuh"

namespace drsl::cuda {

// Where a row's arrays are.
template <class T>
struct ManySlot {
  T *distance, *charge;   // [columns]
  T *d, *y;               // [n] of the positives, like all that follow
  int32_t* column;        // where they stand in the row
  PositiveSums<T*> sums;  // what a policy reads and writes
  T *false_positives, *grad_distance, *grad_angle;
  T *negative_weight, *missorted_weight, *angle_weight;
  double* place;              // coordinates by distance
  int32_t *lo, *hi;           // how many of them H takes in full, and takes at all
  int32_t* by_angle;          // the order of y
  int32_t *y_below, *y_upto;  // in that order: how many y are less, and not greater
  unsigned char* work;        // kWork bytes a positive or column

  static DRSL_HD int64_t bytes(int64_t columns) {
    return padded(columns) * (kNumbers * int64_t(sizeof(T)) + 8 + 6 * 4 + kWork) + 256;
  }

  static __device__ __forceinline__ ManySlot of(void* slot, int64_t columns) {
    const int64_t size = padded(columns);
    ManySlot s;
    s.place = static_cast<double*>(slot);
    T* number = reinterpret_cast<T*>(s.place + size);
    for (T** array :
         {&s.distance, &s.charge, &s.d, &s.y, &s.sums.rank, &s.sums.error, &s.sums.target_rank,
          &s.sums.target_error, &s.sums.missorted, &s.false_positives, &s.grad_distance,
          &s.grad_angle, &s.negative_weight, &s.missorted_weight, &s.angle_weight}) {
      *array = number;
      number += size;
    }
    auto* index = reinterpret_cast<int32_t*>(number);
    for (int32_t** array : {&s.column, &s.lo, &s.hi, &s.by_angle, &s.y_below, &s.y_upto}) {
      *array = index;
      index += size;
    }
    s.work = reinterpret_cast<unsigned char*>(index);
    return s;
  }

 private:
  static constexpr int kNumbers = 15;
  static constexpr int kWork = 80;  // ranked_sums.cuh needs most

  static DRSL_HD int64_t padded(int64_t columns) { return (columns + 63) / 64 * 64; }
};

template <class T>
struct ManyShared {
  static constexpr int kFast = 32 << 10;
  alignas(16) unsigned char fast[kFast];  // work space, see Arena
  union {
    SortShared sort;
    SegmentedSums<4> part[kSortWarps];  // of scans and sums of any kind
  };
  ManySlot<T> slot;  // so many pointers would fill the registers
  RankedWork ranked;
};

// Work space is handed out from shared memory as long as there is room, and then from the slot.
// Whoever makes a new one has it all again.
class Arena {
 public:
  template <class T>
  __device__ __forceinline__ explicit Arena(ManyShared<T>& shared)
      : fast_(shared.fast), slow_(shared.slot.work), room_(ManyShared<T>::kFast) {}

  template <class U>
  __device__ __forceinline__ U* take(int count) {
    const int64_t bytes = (int64_t(count) * int64_t(sizeof(U)) + 15) / 16 * 16;
    const bool fits = bytes <= room_;
    unsigned char* const taken = fits ? fast_ : slow_;
    fast_ += fits ? bytes : 0;
    slow_ += fits ? 0 : bytes;
    room_ -= fits ? int(bytes) : 0;
    return reinterpret_cast<U*>(taken);
  }

 private:
  unsigned char *fast_, *slow_;
  int room_;
};

}  // namespace drsl::cuda
