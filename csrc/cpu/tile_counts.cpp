#include "cpu/tile_counts.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cpu/simd.h"

namespace drsl {
namespace {

template <class T>
struct IntegerLike;
template <>
struct IntegerLike<float> {
  using type = int32_t;
};
template <>
struct IntegerLike<double> {
  using type = int64_t;
};

template <class T>
DRSL_INLINE void sum_parts(const TileValues<T>& row) {
  constexpr int kLanes = Simd<T>::kLanes;
  int64_t k = 0;
  for (; k + kLanes <= row.entries; k += kLanes) {
    auto sum = load(row.gram + k);
    for (int64_t part = 1; part < row.parts; ++part) sum += load(row.gram + part * row.apart + k);
    store(row.values + k, load(row.norm2 + k) - 2 * sum);
  }
  for (; k < row.entries; ++k) {
    T sum = row.gram[k];
    for (int64_t part = 1; part < row.parts; ++part) sum += row.gram[part * row.apart + k];
    row.values[k] = row.norm2[k] - 2 * sum;
  }
  for (; k < row.padded; ++k) row.values[k] = std::numeric_limits<T>::infinity();
}

// Whether any lane is not 0.
template <class V>
DRSL_INLINE bool any(V v) {
  typedef int64_t Words __attribute__((vector_size(64)));
  const Words w = reinterpret_cast<Words>(v);
  return ((w[0] | w[1]) | (w[2] | w[3])) | ((w[4] | w[5]) | (w[6] | w[7]));
}

template <class T>
DRSL_INLINE Close stand(const TileCounts<T>& row, int32_t k) {
  int32_t apart = 0, behind = 0;
  for (int64_t p = 0; p < row.matches; ++p) {
    apart += int32_t(row.high[p] < row.values[k]);
    behind += int32_t(row.low[p] <= row.values[k]);
  }
  return {k, apart, std::max(apart, behind)};
}

// Every match against every entry, entries in registers.
template <class T>
DRSL_INLINE int64_t count_few(const TileCounts<T>& row) {
  using Int = typename IntegerLike<T>::type;
  using Vector = typename Simd<T>::Vector;
  using Mask = typename Simd<Int>::Vector;
  constexpr int kLanes = Simd<T>::kLanes, kVectors = 4;
  static_assert(kTileChunk % (kVectors * kLanes) == 0);
  Mask count[kFewMatches];
  for (int64_t p = 0; p < row.matches; ++p) count[p] = Mask{};
  const Vector last = Vector{} + row.high[row.matches - 1];
  int64_t closes = 0;
  for (int64_t k = 0; k < row.padded; k += kVectors * kLanes) {
    Vector v[kVectors];
    Mask close[kVectors], near{};
    for (int i = 0; i < kVectors; ++i) {
      v[i] = load(row.values + k + i * kLanes);
      close[i] = Mask{};
      near |= v[i] <= last;
    }
    if (!any(near)) continue;  // behind all matches
    for (int64_t p = 0; p < row.matches; ++p) {
      const Vector low = Vector{} + row.low[p], high = Vector{} + row.high[p];
      Mask here = count[p];
      for (int i = 0; i < kVectors; ++i) {
        const Mask before = v[i] < low;
        here -= before;
        close[i] |= before ^ (v[i] <= high);
      }
      count[p] = here;
    }
    if (!any((close[0] | close[1]) | (close[2] | close[3]))) continue;
    for (int i = 0; i < kVectors; ++i) {
      if (!any(close[i])) continue;
      for (int lane = 0; lane < kLanes; ++lane)
        if (close[i][lane]) row.close[closes++] = stand(row, int32_t(k + i * kLanes + lane));
    }
  }
  for (int64_t p = 0; p < row.matches; ++p)
    for (int lane = 0; lane < kLanes; ++lane) row.before[p] += int32_t(count[p][lane]);
  return closes;
}

// Which bucket a value falls into: never a lower one for a higher value, however this is rounded.
// 0: before all matches; above kCount: behind all.
template <class T>
struct Scale {
  T base, inverse;

  static Scale of(T low, T high) {
    const T width = std::max(high - low, std::numeric_limits<T>::min() * Buckets::kCount);
    return {low, (Buckets::kCount - 1) / width};  // the last match is in a bucket
  }
  DRSL_INLINE T raw(T value) const {
    T t = (value - base) * inverse;
    t = t > T(-1) ? t : T(-1);  // NaN too
    t = t > T(Buckets::kCount) ? T(Buckets::kCount) : t;
    return t + 1;
  }
  DRSL_INLINE int32_t operator()(T value) const { return int32_t(raw(value)); }
};

constexpr uint32_t kFlag = uint32_t(1) << 31;  // sums are modulo this

// The buckets of each match's interval, from first to last, and the flags of those that hold a bit of one.
template <class T>
DRSL_INLINE void flag(const TileCounts<T>& row, Scale<T> scale) {
  Buckets& buckets = *row.buckets;
  int32_t *const first = row.first, *const last = row.last;
#pragma omp simd
  for (int64_t p = 0; p < row.matches; ++p) {
    first[p] = scale(row.low[p]);
    last[p] = std::min(scale(row.high[p]), Buckets::kCount);
  }
  std::fill(std::begin(buckets.count), std::end(buckets.count), 0u);
  int32_t done = 0;
  for (int64_t p = 0; p < row.matches; ++p) {
    const int32_t next = p + 1 < row.matches ? first[p + 1] : last[p] + 1;
    // each bucket is written once: by the first match that reaches into it, and by the last
    for (int32_t c = std::max(first[p], done); c <= last[p]; ++c) {
      buckets.count[c] = kFlag;
      buckets.begin[c] = int32_t(p);
    }
    for (int32_t c = first[p]; c <= std::min(last[p], next - 1); ++c)
      buckets.end[c] = int32_t(p) + 1;
    done = std::max(done, last[p] + 1);
  }
}

// Entries in flagged buckets: before some of the matches that reach into it, or close to one.
template <class T>
DRSL_INLINE int64_t look_again(const TileCounts<T>& row, Scale<T> scale, int64_t flagged) {
  const Buckets& buckets = *row.buckets;
  int32_t* const found = row.found;
  int64_t closes = 0;
  for (int64_t first = 0; first < flagged; first += kTileChunk) {
    const int64_t count = std::min(kTileChunk, flagged - first);
    // the first match that reaches into the entry's bucket, how many do, and how it stands to that one
    int32_t match[kTileChunk], matches[kTileChunk], before[kTileChunk], close[kTileChunk];
    std::fill(found + first + count, found + first + kTileChunk, found[first]);
#pragma omp simd
    for (int64_t i = 0; i < kTileChunk; ++i) {
      const T value = row.values[found[first + i]];
      const int32_t here = scale(value), p = buckets.begin[here];
      match[i] = p;
      matches[i] = buckets.end[here] - p;
      before[i] = int32_t(value < row.low[p]);
      close[i] = int32_t(value <= row.high[p]) & ~before[i];
    }
    for (int64_t i = 0; i < count; ++i) {
      const int32_t k = found[first + i], p = match[i], end = p + matches[i];
      if (matches[i] == 1) {  // most are like this; nothing to predict
        row.before[p] += before[i];
        row.close[closes] = {k, p, end};
        closes += close[i];
        continue;
      }
      const T value = row.values[k];
      const auto apart = int32_t(std::lower_bound(row.high + p, row.high + end, value) - row.high);
      const auto behind = int32_t(std::upper_bound(row.low + p, row.low + end, value) - row.low);
      for (int32_t after = behind; after < end; ++after) ++row.before[after];
      if (apart != behind) row.close[closes++] = {k, apart, behind};
    }
  }
  return closes;
}

template <class T>
DRSL_INLINE int64_t count_many(const TileCounts<T>& row) {
  const auto scale = Scale<T>::of(row.low[0], row.high[row.matches - 1]);
  const T last = row.high[row.matches - 1];
  Buckets& buckets = *row.buckets;
  flag(row, scale);
  int32_t* const found = row.found;
  int64_t flagged = 0;
  for (int64_t k = 0; k < row.padded; k += kTileChunk) {
    const T* values = row.values + k;
    int32_t code[kTileChunk];
    int near = 0;
#pragma omp simd reduction(| : near)
    for (int i = 0; i < kTileChunk; ++i) {
      near |= int(values[i] <= last);
      const int32_t c = scale(values[i]);
      code[i] = c > Buckets::kCount ? c + (i & (Buckets::kLanes - 1)) : c;
    }
    if (!near) continue;
    for (int i = 0; i < kTileChunk; ++i) {
      const uint32_t count = buckets.count[code[i]];
      buckets.count[code[i]] = count + 1;
      found[flagged] = int32_t(k + i);
      flagged += count >> 31;
    }
  }
  // Buckets before that of low[p] are before match p.
  uint32_t sum = 0;
  for (uint32_t& count : buckets.count) count = std::exchange(sum, sum + (count & (kFlag - 1)));
  for (int64_t p = 0; p < row.matches; ++p) row.before[p] += int32_t(buckets.count[row.first[p]]);
  return look_again(row, scale, flagged);
}

}  // namespace

DRSL_CLONES void write_values(const TileValues<float>& row) { sum_parts(row); }
DRSL_CLONES void write_values(const TileValues<double>& row) { sum_parts(row); }

namespace {
DRSL_CLONES int64_t few(const TileCounts<float>& row) { return count_few(row); }
DRSL_CLONES int64_t few(const TileCounts<double>& row) { return count_few(row); }
DRSL_CLONES int64_t many(const TileCounts<float>& row) { return count_many(row); }
DRSL_CLONES int64_t many(const TileCounts<double>& row) { return count_many(row); }
}  // namespace

int64_t count_before(const TileCounts<float>& row) {
  return row.matches <= kFewMatches ? few(row) : many(row);
}
int64_t count_before(const TileCounts<double>& row) {
  return row.matches <= kFewMatches ? few(row) : many(row);
}

}  // namespace drsl
