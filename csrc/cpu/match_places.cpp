#include "cpu/match_places.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "cpu/distances.h"
#include "cpu/parallel.h"
#include "cpu/place_counts.h"

namespace drsl {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The bound of match_places.h, for one query, X² given.
struct Bound {
  double alpha, beta, own;

  template <class T, class E>
  static Bound of(const Retrieval<T, E>& all, double norm2) {
    if (all.on_grid) return {0, 0, 0};
    constexpr double u = std::numeric_limits<T>::epsilon() / 2,
                     w = std::numeric_limits<double>::epsilon() / 2;
    const double D = double(all.dim), n = double(all.parts + all.longest), wide = 2 * w * (D + 16),
                 beta = 8 * u + wide;
    const double tiny = D * std::ldexp(1.0, sizeof(T) == 4 ? -120 : -1000);
    return {(2 * n + 16) * u * (1 + 2 * n * u) + wide, beta, beta * norm2 + tiny};
  }
};

template <class T>
T rounded_down(double v) {
  return std::nextafter(T(v), -std::numeric_limits<T>::infinity());
}
template <class T>
T rounded_up(double v) {
  return std::nextafter(T(v), std::numeric_limits<T>::infinity());
}

// Something that can be sorted, and that comes before what does not count: NaN and ∞ are what rows
// give that were not finite.
template <class T>
T in_order(T v) {
  constexpr T most = std::numeric_limits<T>::max();
  return v < most ? v : most;
}

// One thread's workspace, and a query's way through it.
template <class T, class E>
class Places {
 public:
  Places(const Retrieval<T, E>& retrieval, size_t most)
      : all_(retrieval),
        padded_((retrieval.entries + kPlaceChunk - 1) / kPlaceChunk * kPlaceChunk),
        lower_(size_t(padded_)),
        upper_(size_t(padded_)),
        x_(size_t(retrieval.dim)),
        value_(size_t(retrieval.entries)),
        known_(size_t(retrieval.entries), -1),
        rough_(size_t(retrieval.entries)),
        rough_known_(size_t(retrieval.entries), -1),
        seen_(size_t(retrieval.entries), -1) {
    // nothing is allocated while threads run
    const size_t size = std::bit_ceil(most + 1);
    for (auto* v : {&match_lower_, &match_upper_}) v->reserve(size);
    for (auto* v : {&before_, &histogram_, &counted_}) v->reserve(size);
    for (auto* v : {&matches_, &junk_}) v->reserve(most);
    ordered_.reserve(most);
    for (auto* v : {&close_, &wanted_}) v->reserve(size_t(padded_));
  }

  void run(int64_t q, const Retrieved& out) {
    q_ = q;
    measured_ = 0;
    out.ap[q] = out.inp[q] = kNan;
    out.first[q] = 0;
    find_matches();
    if (matches_.empty()) return;
    write_row();
    if (!count()) {
      out.first[q] = -1;
      return;
    }
    std::sort(before_.begin(), before_.end());
    const double n = double(before_.size());
    double sum = 0;
    for (size_t i = 0; i < before_.size(); ++i) sum += double(i + 1) / double(place(i));
    out.ap[q] = sum / n;
    out.inp[q] = n / double(place(before_.size() - 1));
    out.first[q] = place(0);
  }

 private:
  struct Match {
    double value;  // that it is ordered by: d², or v
    int32_t column;
    size_t index;  // in matches_
    bool operator<(const Match& other) const {
      return value != other.value ? value < other.value : column < other.column;
    }
  };

  // Matches are before one another in some order: the i-th is behind i of them.
  int64_t place(size_t i) const { return before_[i] + int64_t(i) + 1; }

  void find_matches() {
    matches_.clear();
    junk_.clear();
    for (int64_t i = all_.begin[q_]; i < all_.end[q_]; ++i) {
      const int32_t k = all_.by_identity[i];
      if (!(all_.gallery_norm2[k] < std::numeric_limits<double>::infinity())) continue;
      const bool same_camera = all_.camera && all_.camera[k] == all_.x_camera[q_];
      (same_camera ? junk_ : matches_).push_back(k);
    }
  }

  // The intervals of all entries and of the matches, which leave the row: what is left are those
  // that may come before a match.
  void write_row() {
    const double own2 = all_.x_norm2[q_];
    const Bound bound = Bound::of(all_, own2);
    intervals(Intervals<T>{all_.entries, padded_, all_.gram + q_ * all_.entries, all_.parts,
                           all_.queries * all_.entries, all_.norm2.data(), all_.length.data(),
                           T(bound.alpha * std::sqrt(own2)), T(bound.beta), lower_.data(),
                           upper_.data()});
    // Few matches: their distances. That halves what lies close to them.
    ordered_.clear();
    const bool few = int64_t(matches_.size()) <= kFewMatches + all_.entries / 64;
    double off = bound.own;
    if (all_.on_grid || !few) {
      for (const int32_t k : matches_) {
        const double low = lower_[size_t(k)], high = upper_[size_t(k)];
        off = std::max(off, 0.5 * (high - low) + 2 * bound.own);
        ordered_.push_back({in_order(0.5 * (low + high)), k, 0});
        if (all_.on_grid) value_[size_t(k)] = low;  // as good as the distance itself
      }
    } else {
      wanted_.clear();
      for (const int32_t k : matches_) want(k, known_);
      measure();
      for (const int32_t k : matches_)
        ordered_.push_back({in_order(all_.scale * all_.scale * exact(k) - own2), k, 0});
    }
    set_matches(off);
    for (const std::vector<int32_t>* columns : {&matches_, &junk_})
      for (const int32_t k : *columns)
        lower_[size_t(k)] = upper_[size_t(k)] = std::numeric_limits<T>::infinity();
  }

  // match_lower_ and match_upper_ from what ordered_ holds.
  void set_matches(double off) {
    std::sort(ordered_.begin(), ordered_.end());
    const size_t n = ordered_.size(), size = std::bit_ceil(n + 1);
    match_lower_.assign(size, std::numeric_limits<T>::infinity());
    match_upper_.assign(size, std::numeric_limits<T>::infinity());
    for (size_t i = 0; i < n; ++i) {
      const double v = ordered_[i].value;
      matches_[i] = ordered_[i].column;
      match_lower_[i] = in_order(all_.on_grid ? T(v) : rounded_down<T>(v - off));
      match_upper_[i] = in_order(all_.on_grid ? T(v) : rounded_up<T>(v + off));
    }
    histogram_.resize(size);
    before_.assign(n, 0);
  }

  // before_: for each match the entries before it. False if that takes too many distances.
  bool count() {
    close_.clear();
    count_places(PlaceCounts<T>{padded_, lower_.data(), upper_.data(), int64_t(matches_.size()),
                                match_lower_.data(), match_upper_.data(), before_.data(), &close_,
                                histogram_.data()});
    if (close_.empty()) return true;
    return mend();
  }

  // Where an interval stands among those of the matches: it is before all from `behind` on, and
  // touches those from `apart` to `behind`.
  struct Stand {
    size_t apart, behind;
  };
  Stand stand(int32_t k) const {
    const T lower = lower_[size_t(k)], upper = upper_[size_t(k)];
    size_t apart = 0, behind = 0;  // both arrays are padded to a power of two; nothing to predict
    for (size_t half = match_lower_.size() / 2; half; half /= 2) {
      apart += half * size_t(match_upper_[apart + half - 1] < lower);
      behind += half * size_t(match_lower_[behind + half - 1] <= upper);
    }
    return {std::min(apart, matches_.size()), std::min(behind, matches_.size())};
  }

  // Narrower intervals of what is close, from differences in float32: nine of ten come free.
  void sift() {
    wanted_.clear();
    for (const int32_t k : close_) want(k, rough_known_);
    const E* x = all_.x + q_ * all_.dim;
    rough_distances(x, all_.gallery, wanted_, all_.dim, rough_.data());
    const double off = rough_terms(all_.dim) * std::ldexp(1.0, -24), own2 = all_.x_norm2[q_];
    const double tiny = double(all_.dim) * std::ldexp(1.0, -120);
    size_t kept = 0;
    counted_.assign(matches_.size() + 1, 0);
    for (const int32_t k : close_) {
      const double d = rough_[size_t(all_.first_equal[k])];
      --counted_[stand(k).behind];
      lower_[size_t(k)] = rounded_down<T>(d - d * off - tiny - own2);
      upper_[size_t(k)] = rounded_up<T>(d + d * off + tiny - own2);
      const Stand now = stand(k);
      ++counted_[now.behind];
      if (now.apart != now.behind) close_[kept++] = k;
    }
    close_.resize(kept);
    int64_t sum = 0;
    for (size_t i = 0; i < matches_.size(); ++i) before_[i] += sum += counted_[i];
  }

  // Entries close to a match, and the matches that they are close to, by their distances.
  bool mend() {
    if (all_.limit >= 0 && int64_t(close_.size()) > all_.limit && too_many()) return false;
    if constexpr (std::is_same_v<T, float> && std::is_same_v<E, float>)
      if (all_.scale == 1 && !all_.on_grid) sift();
    const size_t n = matches_.size();
    std::vector<int64_t>&touched = histogram_, &counted = counted_;
    touched.assign(n + 1, 0);  // within what was reserved: n + 1 <= bit_ceil(n + 1)
    counted.assign(n + 1, 0);
    for (const int32_t k : close_) {
      const Stand now = stand(k);
      ++touched[now.apart];
      --touched[now.behind];
      ++counted[now.behind];
    }
    ordered_.clear();
    int64_t touches = 0;
    for (size_t i = 0; i < n; ++i)
      if ((touches += touched[i]) > 0) ordered_.push_back({0, matches_[i], i});
    wanted_.clear();
    for (const Match& match : ordered_) want(match.column, known_);
    for (const int32_t k : close_) want(k, known_);
    if (all_.limit >= 0 && measured_ + int64_t(wanted_.size()) > all_.limit) return false;
    measure();
    int64_t sum = 0;
    size_t next = 0;
    for (Match& match : ordered_) {
      match.value = in_order(exact(match.column));
      while (next <= match.index) sum += counted[next++];
      before_[match.index] -= sum;
    }
    std::sort(ordered_.begin(), ordered_.end());
    counted.assign(ordered_.size() + 1, 0);
    for (const int32_t k : close_) {
      const Match entry{in_order(all_.on_grid ? double(lower_[size_t(k)]) : exact(k)), k, 0};
      const auto after = std::lower_bound(ordered_.begin(), ordered_.end(), entry);
      ++counted[size_t(after - ordered_.begin())];
    }
    sum = 0;
    for (size_t i = 0; i < ordered_.size(); ++i) before_[ordered_[i].index] += sum += counted[i];
    return true;
  }

  // Distances are measured once for rows that are equal, and many together.
  void want(int32_t k, std::vector<int64_t>& known) {
    const int32_t i = all_.first_equal[k];
    if (all_.on_grid || known[size_t(i)] == q_) return;
    known[size_t(i)] = q_;
    wanted_.push_back(i);
  }
  bool too_many() {
    wanted_.clear();
    for (const int32_t k : close_) want(k, seen_);
    return !all_.on_grid && int64_t(wanted_.size()) > all_.limit;
  }
  void measure() {
    std::copy_n(all_.x + q_ * all_.dim, all_.dim, x_.begin());
    distances(x_.data(), all_.gallery, wanted_, all_.dim, value_.data());
    measured_ += int64_t(wanted_.size());
  }
  double exact(int32_t k) const { return value_[size_t(all_.on_grid ? k : all_.first_equal[k])]; }

  const Retrieval<T, E>& all_;
  const int64_t padded_;
  int64_t q_ = 0, measured_ = 0;
  std::vector<T> lower_, upper_, match_lower_, match_upper_;
  std::vector<double> x_;       // the query
  std::vector<double> value_;   // d² of the query with an entry, if
  std::vector<int64_t> known_;  // it is this query's
  std::vector<float> rough_;    // the same in float32
  std::vector<int64_t> rough_known_, seen_;
  std::vector<int32_t> matches_, junk_, close_, wanted_;
  std::vector<int64_t> before_, histogram_, counted_;
  std::vector<Match> ordered_;
};

}  // namespace

template <class T, class E>
void Retrieval<T, E>::prepare() {
  const auto n = size_t(entries);
  norm2.resize(n);
  length.resize(n);
  for (size_t k = 0; k < n; ++k) {
    norm2[k] = T(gallery_norm2[k]);
    length[k] = T(std::sqrt(gallery_norm2[k]));
  }
}

template <class T, class E>
void match_places(const Retrieval<T, E>& retrieval, const Retrieved& out) {
  const int64_t queries = retrieval.queries;
  const int64_t tasks = task_count(queries * retrieval.entries, 1 << 14);
  int64_t most = 0;  // entries of one identity
  for (int64_t q = 0; q < queries; ++q)
    most = std::max(most, retrieval.end[q] - retrieval.begin[q]);
  std::vector<Places<T, E>> places;
  places.reserve(size_t(tasks));
  for (int64_t t = 0; t < tasks; ++t) places.emplace_back(retrieval, size_t(most));
  for_tasks(tasks, queries, 1, [&](int64_t t, int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) places[size_t(t)].run(q, out);
  });
}

template <class E>
void squared_lengths(const E* rows, int64_t count, int64_t dim, double* out) {
  for_tasks(task_count(count * dim, 1 << 15), count, 1, [&](int64_t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = length2(rows + i * dim, dim);
  });
}

template void squared_lengths(const float*, int64_t, int64_t, double*);
template void squared_lengths(const double*, int64_t, int64_t, double*);
template struct Retrieval<float, float>;
template struct Retrieval<double, float>;
template struct Retrieval<double, double>;
template void match_places(const Retrieval<float, float>&, const Retrieved&);
template void match_places(const Retrieval<double, float>&, const Retrieved&);
template void match_places(const Retrieval<double, double>&, const Retrieved&);

}  // namespace drsl
