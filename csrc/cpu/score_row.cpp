#include "cpu/score_row.h"

#include <algorithm>
#include <limits>

#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace drsl {
namespace {

constexpr int64_t kGrain = 1 << 15;  // entries a task should handle at least
constexpr int kChunk = 512;          // entries that look for their pieces together

struct Found {
  int64_t positives = 0;
  bool usable = true;
};

// What passes read of a row, and the pieces [columns] that they leave each other.
template <class T>
struct Entries {
  const T* score;
  const T* target;
  const T* origin;  // of each piece; of piece 0, where nothing is measured, 0
  int32_t* piece;
};

// The columns of positives among [begin, end), and whether everything that takes part is a number:
// targets below infinity; scores too, where the target is not below 0.
template <class T>
DRSL_INLINE Found find(const Entries<T>& row, int64_t begin, int64_t end, int32_t* positive) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  const T* const score = row.score;
  const T* const target = row.target;
  int bad = 0;
#pragma omp simd reduction(| : bad)
  for (int64_t k = begin; k < end; ++k)
    bad |= int(!(target[k] < infinity)) | (int(target[k] >= T(0)) & int(!(score[k] < infinity)));
  int64_t n = 0;
  for (int64_t k = begin; k < end; ++k) {
    positive[n] = int32_t(k);
    n += target[k] > T(0);
  }
  return {n, bad == 0};
}

// The pieces of entries [begin, end), 0 for all but negatives, and what the pieces hold.
template <class T>
DRSL_INLINE void count(const Entries<T>& row, const PieceFinder<T>& finder, int64_t begin,
                       int64_t end, Piece* pieces) {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  alignas(64) T key[kChunk];
  for (int64_t first = begin; first < end; first += kChunk) {
    const int size = int(std::min<int64_t>(kChunk, end - first));
    const T* const score = row.score + first;
    const T* const target = row.target + first;
    int32_t* const piece = row.piece + first;
#pragma omp simd
    for (int k = 0; k < size; ++k) key[k] = target[k] == T(0) ? score[k] : -infinity;
    finder.places(size, key, piece);
    for (int k = 0; k < size; ++k) {
      const int32_t m = piece[k];
      pieces[m].amount += 1;
      pieces[m].moment += double(key[k]) - double(row.origin[m]);
    }
  }
}

template <class T>
DRSL_INLINE void spread(const Entries<T>& row, const T* base, const T* incline, int64_t begin,
                        int64_t end, T* gradient) {
  const T* const score = row.score;
  const T* const origin = row.origin;
  const int32_t* const piece = row.piece;
#pragma omp simd
  for (int64_t k = begin; k < end; ++k) {
    const int32_t m = piece[k];
    const T rise = incline[m] * (score[k] - origin[m]);
    gradient[k] = base[m] + (incline[m] != T(0) ? rise : T(0));  // elsewhere the score may be ∞
  }
}

#define DRSL_PASSES(T)                                                                            \
  DRSL_CLONES Found find_pass(const Entries<T>& row, int64_t begin, int64_t end,                  \
                              int32_t* positive) {                                                \
    return find(row, begin, end, positive);                                                       \
  }                                                                                               \
  DRSL_CLONES void count_pass(const Entries<T>& row, const PieceFinder<T>& finder, int64_t begin, \
                              int64_t end, Piece* pieces) {                                       \
    count(row, finder, begin, end, pieces);                                                       \
  }                                                                                               \
  DRSL_CLONES void spread_pass(const Entries<T>& row, const T* base, const T* incline,            \
                               int64_t begin, int64_t end, T* gradient) {                         \
    spread(row, base, incline, begin, end, gradient);                                             \
  }
DRSL_PASSES(float)
DRSL_PASSES(double)
#undef DRSL_PASSES

}  // namespace

template <class T>
ScoreRow<T>::ScoreRow(int64_t columns, double delta)
    : columns_(columns), delta_(delta), slope_(0), piece_(columns + 1) {
  if (delta > 0) slope_ = Ramp<double>(delta).slope;
}

template <class T>
void ScoreRow<T>::assign(const T* scores, const T* targets) {
  scores_ = scores;
  targets_ = targets;
  const int64_t tasks = task_count(columns_, kGrain);
  const Entries<T> row{scores, targets, nullptr, piece_.get()};
  std::vector<Found> found(size_t(tasks), Found{});
  std::vector<int64_t> starts(size_t(tasks), 0);
  for_tasks(tasks, columns_, kChunk, [&](int64_t t, int64_t begin, int64_t end) {
    found[size_t(t)] = find_pass(row, begin, end, piece_.get() + begin);
    starts[size_t(t)] = begin;
  });
  usable_ = true;
  column_.clear();
  found_.clear();
  for (int64_t t = 0; t < tasks; ++t) {
    const int32_t* columns = piece_.get() + starts[size_t(t)];
    usable_ &= found[size_t(t)].usable;
    for (int64_t k = 0; k < found[size_t(t)].positives; ++k) {
      column_.push_back(columns[k]);
      found_.push_back(scores[columns[k]]);
      usable_ &= found_.back() > -std::numeric_limits<T>::infinity();
    }
  }
  n_ = int(found_.size());
  if (n_ > 0 && usable_) find_positives();
}

template <class T>
void ScoreRow<T>::find_positives() {
  const size_t n = size_t(n_);
  order_.resize(n);
  sort_(n_, found_.data(), order_.data());
  from_left_.swap(column_);
  column_.resize(n);
  score_.resize(n);
  target_.resize(n);
  for (size_t i = 0; i < n; ++i) {
    column_[i] = from_left_[size_t(order_[i])];
    score_[i] = double(found_[size_t(order_[i])]);
    target_[i] = double(targets_[column_[i]]);
  }
  edges_.assign(n_, score_.data(), delta_);
  finder_.assign(edges_.count, edges_.at.data());
  origin_.assign(1, T(0));
  origin_.insert(origin_.end(), edges_.at.begin(), edges_.at.end());
}

template <class T>
void ScoreRow<T>::sum_negatives(double* sum) {
  const int64_t tasks = task_count(columns_, kGrain);
  const size_t pieces = size_t(edges_.count) + 1;
  pieces_.assign(pieces * size_t(tasks), {});
  const Entries<T> row{scores_, targets_, origin_.data(), piece_.get()};
  for_tasks(tasks, columns_, kChunk, [&](int64_t t, int64_t begin, int64_t end) {
    count_pass(row, finder_, begin, end, pieces_.data() + size_t(t) * pieces);
  });
  for (size_t t = 1; t < size_t(tasks); ++t)
    for (size_t m = 0; m < pieces; ++m) {
      pieces_[m].amount += pieces_[t * pieces + m].amount;
      pieces_[m].moment += pieces_[t * pieces + m].moment;
    }
  sum_pieces(edges_, n_, score_.data(), slope_, pieces_.data(), sum);
  for (int i = 0; i < n_; ++i) sum[i] = std::max(sum[i], 0.0);
}

template <class T>
void ScoreRow<T>::sum_positives(const double* a, double* sum) {
  work_.assign(size_t(edges_.count) + 1, {});
  for (int i = 0; i < n_; ++i) {
    const int m = edges_.home[size_t(i)];
    const double amount = a ? a[i] : 1;
    work_[size_t(m)].amount += amount;
    work_[size_t(m)].moment += amount * (score_[size_t(i)] - edges_.origin(m));
  }
  sum_pieces(edges_, n_, score_.data(), slope_, work_.data(), sum);
}

template <class T>
void ScoreRow<T>::write_gradient(const double* weight, const double* own, T* gradient) {
  const size_t pieces = size_t(edges_.count) + 1;
  lines_.resize(pieces);
  spread_pieces(edges_, score_.data(), slope_, weight, lines_.data());
  base_.resize(pieces);
  incline_.resize(pieces);
  constexpr double most = double(std::numeric_limits<T>::max());
  for (size_t m = 0; m < pieces; ++m) {
    base_[m] = T(lines_[m].base);
    incline_[m] = T(std::min(lines_[m].slope, most));
  }
  const Entries<T> row{scores_, targets_, origin_.data(), piece_.get()};
  for_tasks(task_count(columns_, kGrain), columns_, kChunk,
            [&](int64_t, int64_t begin, int64_t end) {
              spread_pass(row, base_.data(), incline_.data(), begin, end, gradient);
            });
  for (size_t i = 0; i < size_t(n_); ++i) gradient[column_[i]] = T(own[i]);
}

template <class T>
void ScoreRow<T>::write_positives(const double* own, T* gradient) const {
  write_zeros(gradient);
  for (size_t i = 0; i < size_t(n_); ++i) gradient[column_[i]] = T(own[i]);
}

template <class T>
void ScoreRow<T>::write_nan(T* gradient) const {
  for (int64_t k = 0; k < columns_; ++k) {
    const T s = scores_[k], t = targets_[k];
    const bool masked = t == T(0) && s == -std::numeric_limits<T>::infinity();
    gradient[k] = t < T(0) || masked ? T(0) : std::numeric_limits<T>::quiet_NaN();
  }
}

template <class T>
void ScoreRow<T>::write_zeros(T* gradient) const {
  std::fill_n(gradient, columns_, T(0));
}

template class ScoreRow<float>;
template class ScoreRow<double>;

}  // namespace drsl
