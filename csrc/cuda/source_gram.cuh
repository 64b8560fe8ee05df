#pragma once
// Distances from a row of the Gram matrix, coefficients back into it:
//
//   d² = |x|² + |r|² − 2 x·r                             or from differences, where that cancels
//   A_k = a_k − c_k,  a_k = (∂L/∂cos_k) / (|x||r|),  c_k = (∂L/∂d_k) / d_k
#include "cuda/query.cuh"
#include "cuda/row.cuh"
#include "cuda/row_pairs.cuh"
#include "cuda/tile_ops.cuh"

namespace drsl::cuda {

template <class T>
struct GramEntries {
  Quad<T> distance;         // or 1 − cos; +∞ for entries that are left out
  unsigned near, left_out;  // bit e: of column k + e
  bool bad;                 // a distance that counts is not finite
};

template <class T>
class GramSource : protected RowPairs<T> {
  using Pairs = RowPairs<T>;
  using Pairs::t_, Pairs::x_at_, Pairs::r_at_;

 public:
  using Number = T;
  using Task = TurnTask<T>;

  // Row `row` of [sets · count].
  __device__ __forceinline__ GramSource(const Task& task, int64_t row)
      : Pairs(task, row),
        query(task.selected, Pairs::query_, task.r.count),
        row_(row),
        gram_(task.gram + row * task.ld),
        near_(task.near + row * (task.ld / 32)),
        r_norm2_(task.r.norm2 + r_at_),
        aligned_norms_(reinterpret_cast<uintptr_t>(r_norm2_) % 16 == 0),
        norm2_(task.x.norm2[x_at_]),
        weight_(task.weight ? task.weight[x_at_] : T(1)) {}

  __device__ __forceinline__ bool gradient() const { return t_.gradient; }
  __device__ __forceinline__ int own_column() const {
    return cuda::own_column(t_.selected, this->query_, query.columns);
  }
  __device__ __forceinline__ int padded() const {
    return (query.columns + int(kLine) - 1) / int(kLine) * int(kLine);
  }

  // --- distances: collective, a warp at a time ------------------------------------------------------

  // Gram row → held, zeros behind its last quad, which nobody has written. After `wait` each thread finds the
  // quads that it is going to load.
  __device__ __forceinline__ void prefetch(T* held) const {
    for_each_quad(padded(), [&](int k) {
#pragma unroll
      for (int e = 0; e < 4; e += Pack<T>::kCount)
        cp_async_16(held + k + e, gram_ + k + e, k < query.columns);
    });
    cp_async_commit();
  }
  __device__ __forceinline__ void wait() const { cp_async_wait<0>(); }
  __device__ __forceinline__ Quad<T> raw(int k) const {
    return k < query.columns ? written(k) : Quad<T>{};
  }

  // Gram entries → distances, or 1 − cos; near pairs from differences; flags them.
  template <Measure kMeasure>
  __device__ __forceinline__ GramEntries<T> load(int k, const Quad<T>& gram) const {
    const Quad<T> theirs = norms2(k);
    GramEntries<T> entries{};
    T d2[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const T both = norm2_ + theirs.at[e];
      d2[e] = both - 2 * gram.at[e];
      const bool near = !(d2[e] > kNear<T> * both);
      entries.near |= unsigned(near) << e;
      entries.distance.at[e] =
          kMeasure == Measure::kDistance ? root(d2[e]) : from_cosine(gram.at[e], k + e);
    }
    uint32_t word = 0;
    if (__any_sync(kAllLanes, special(k) || entries.near != 0)) {
      mend<kMeasure>(k, entries);
      word = entries.near << (lane_index() % 8 * 4);
#pragma unroll
      for (int lanes = 1; lanes < 8; lanes *= 2) word |= __shfl_xor_sync(kAllLanes, word, lanes);
    }
    if (lane_index() % 8 == 0) near_[k / 32] = word;
    return entries;
  }

  // --- Columns that are not held: the Gram row tells its distances again -----------------------------
  // Near entries are replaced by their distance, others that do not count by −∞.

  __device__ __forceinline__ void put(int k, const GramEntries<T>& entries) const {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (entries.near >> e & 1)
        gram_[k + e] = entries.distance.at[e];
      else if (entries.left_out >> e & 1)
        gram_[k + e] = -kInfinity<T>;
    }
  }
  __device__ __forceinline__ Quad<T> get(int k) const {
    const Quad<T> gram = written(k), theirs = norms2(k);
    const uint32_t near = near_[k / 32] >> (k % 32);
    Quad<T> d;
#pragma unroll
    for (int e = 0; e < 4; ++e)
      d.at[e] = near >> e & 1 ? gram.at[e] : root(norm2_ + theirs.at[e] - 2 * gram.at[e]);
    return d;
  }
  __device__ __forceinline__ T take(int k) const {
    const T gram = gram_[k];
    gram_[k] = is_near(k) ? kInfinity<T> : -kInfinity<T>;
    return is_near(k) ? gram : root(norm2_ + r_norm2_[k] - 2 * gram);
  }

  // --- columns that are signed (turn_each.cuh): the Gram row keeps what it is given --------------------

  __device__ __forceinline__ HeldColumns<T> kept() const { return {gram_}; }

  // --- losses by cosines, of rows of unit length: ∂L/∂cos gathers where others keep F ---------------

  __device__ __forceinline__ void add_by_cosine(int k, const Quad<T>& gradient, bool first) const {
    auto& sum = *reinterpret_cast<Quad<T>*>(t_.angular + row_ * t_.ld + k);
    Quad<T> g = gradient;
#pragma unroll
    for (int e = 0; e < 4; ++e) g.at[e] += first ? T(0) : sum.at[e];
    sum = g;
  }
  __device__ __forceinline__ void add_by_cosine(int k, T gradient) const {
    t_.angular[row_ * t_.ld + k] += gradient;
  }
  // ∂L/∂cos → A; collective. Rows have unit length: what points along them is projected away at last.
  __device__ __forceinline__ void finish_by_cosine(int k) const {
    Quad<T> a = *reinterpret_cast<const Quad<T>*>(t_.angular + row_ * t_.ld + k);
    bool some = false;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      a.at[e] *= weight_;
      some |= a.at[e] != 0;
    }
    write_line(k, a, some);
  }

  // A query that weighs more than others is multiplied by what it weighs.
  __device__ __forceinline__ void weigh(T by) { weight_ *= t_.counted ? by : T(1); }

  // --- positives -------------------------------------------------------------------------------------

  // By a warp. Not from the Gram matrix: equal rows have equal cosines.
  __device__ __forceinline__ T cosine(int k) const {
    return is_near(k) ? this->exact(k).cosine : this->cosine_of(this->product(k), k);
  }

  // --- results ---------------------------------------------------------------------------------------

  // Coefficients of negatives; collective.
  __device__ __forceinline__ void write(int k, const Quad<T>& d, const Quad<T>& charge) const {
    Quad<T> a;
    bool some = false;
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      a.at[e] = weight_ * charge.at[e] * inverse(d.at[e]);
      some |= a.at[e] != 0;
    }
    write_line(k, a, some);
  }

  // Lines beyond the columns.
  __device__ __forceinline__ void write_tail() const {
#pragma unroll 1
    for (int k = padded() + int(threadIdx.x) * 4; k < int(t_.ld); k += kRowThreads * 4) {
      write_line(k, Quad<T>{}, false);
      if (t_.near && lane_index() % 8 == 0) near_[k / 32] = 0;
    }
  }

  // A positive's coefficients, after a barrier; returns its share of e_q.
  __device__ __forceinline__ T write_positive(int k, T d, T cosine, T grad_distance,
                                              T grad_angle) const {
    const T by_cosine = weight_ * T(0.5) * grad_angle;  // y = (1 + cos) / 2
    const T ix = this->x_inverse(), ir = this->r_inverse(k);
    const T a = by_cosine * ix * ir - weight_ * grad_distance * inverse(d);
    gram_[k] = a;
    t_.angular[row_ * t_.ld + k] = by_cosine * ir * (ix - cosine * ir);
    if (a != 0 && t_.some) t_.some[row_ * (t_.ld / kLine) + k / kLine] = 1;
    return by_cosine * ix * (ir - cosine * ix);
  }

  // By one thread.
  __device__ __forceinline__ void report(int weighs, T loss, T a, T b, T c, T radial) const {
    t_.loss[x_at_] = loss;
    t_.terms[3 * x_at_] = a;
    t_.terms[3 * x_at_ + 1] = b;
    t_.terms[3 * x_at_ + 2] = c;
    t_.weighs[x_at_] = weighs;
    if (t_.gradient) t_.radial[x_at_] = radial;
  }

  // Coefficients of a query that does not count: none; or that is bad: NaN wherever it compares.
  __device__ __forceinline__ void write_all(bool bad) const {
    if (!t_.gradient) return;
    for_each_quad(padded(), [&](int k) {
      Quad<T> a{};
      bool some = false;
      for (int e = 0; e < 4 && bad; ++e) {
        if (!query.compares(k + e)) continue;
        a.at[e] = kNaN<T>;
        some = true;
        if (t_.at == AngularAt::kPositives && query.positive(k + e))
          t_.angular[row_ * t_.ld + k + e] = 0;
      }
      write_line(k, a, some);
      if (!bad && t_.near && lane_index() % 8 == 0) near_[k / 32] = 0;
    });
    write_tail();
  }

  const Query query;

 protected:
  static __device__ __forceinline__ T root(T x) { return fast_sqrt(x); }
  // What fast_reciprocal takes for 0 is the share of a pair as far apart as numbers go.
  static __device__ __forceinline__ T inverse(T d) {
    if (sizeof(T) == 4 && d > 1 / kSmallest<T> && d <= kMost<T>) return 1 / d;
    return d < kSmallest<T> ? T(0) : fast_reciprocal(d);
  }

  // Whether a column of the quad may have to be left out.
  __device__ __forceinline__ bool special(int k) const {
    return query.exclude || k + 3 >= query.columns || (query.own >= k && query.own <= k + 3);
  }

  // Whether products of the two rows can be trusted.
  __device__ __forceinline__ bool trusted(int k) const { return norm2_ + r_norm2_[k] <= kMost<T>; }

  __device__ __forceinline__ T from_cosine(T product, int k) const {
    return k < query.columns ? 1 - this->cosine_of(product, k) : T(0);
  }

  // Takes out what is left out and computes near pairs anew, a warp a pair.
  template <Measure kMeasure>
  __device__ __forceinline__ void mend(int k, GramEntries<T>& entries) const {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const unsigned bit = 1u << e;
      if (k + e >= query.columns || k + e == query.own) entries.near &= ~bit;
      if (!query.compares(k + e)) {
        entries.left_out |= bit;
        entries.distance.at[e] = kInfinity<T>;
      }
    }
    const unsigned wanted = entries.near & ~entries.left_out;
    for (unsigned lanes = __ballot_sync(kAllLanes, wanted != 0); lanes; lanes &= lanes - 1) {
      const int lane = __ffs(int(lanes)) - 1;
      for (unsigned bits = __shfl_sync(kAllLanes, wanted, lane); bits; bits &= bits - 1) {
        const int e = __ffs(int(bits)) - 1;
        const Pair<T> pair = this->exact(k + 4 * (lane - lane_index()) + e);
        const T d = kMeasure == Measure::kDistance ? pair.distance
                    : pair.distance <= kMost<T>    ? 1 - pair.cosine
                                                   : kNaN<T>;
#pragma unroll
        for (int at = 0; at < 4; ++at)  // no run-time index: the quad stays in registers
          if (lane == lane_index() && at == e) entries.distance.at[at] = d;
      }
    }
#pragma unroll
    for (int e = 0; e < 4; ++e)
      entries.bad |= wanted >> e & 1 && !(entries.distance.at[e] <= kMost<T>);
  }

 private:
  const int64_t row_;
  T* const gram_;
  uint32_t* const near_;
  const T* const r_norm2_;
  const bool aligned_norms_;
  const T norm2_;
  T weight_;

  __device__ __forceinline__ Quad<T> norms2(int k) const {
    if (aligned_norms_ && k + 3 < query.columns)
      return *reinterpret_cast<const Quad<T>*>(r_norm2_ + k);
    Quad<T> q{};
#pragma unroll
    for (int e = 0; e < 4; ++e)
      if (k + e < query.columns) q.at[e] = r_norm2_[k + e];
    return q;
  }

  __device__ __forceinline__ Quad<T> written(int k) const {
    return *reinterpret_cast<const Quad<T>*>(gram_ + k);
  }

  __device__ __forceinline__ bool is_near(int k) const { return near_[k / 32] >> (k % 32) & 1; }

  __device__ __forceinline__ void write_line(int k, const Quad<T>& a, bool some) const {
    *reinterpret_cast<Quad<T>*>(gram_ + k) = a;
    some = __any_sync(kAllLanes, some);
    if (lane_index() == 0 && t_.some) t_.some[row_ * (t_.ld / kLine) + k / kLine] = some;
  }
};

}  // namespace drsl::cuda
