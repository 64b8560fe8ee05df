#include "cpu/match_rows.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "cpu/distances.h"
#include "cpu/parallel.h"
#include "cpu/rounding_bound.h"
#include "cpu/row_counts.h"

namespace drsl {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One thread's workspace, and a query's way through it.
template <class E>
class Row {
 public:
  Row(const WholeRows<E>& rows, const double* length, size_t most)
      : all_(rows),
        length_(length),
        padded_((rows.entries + kRowChunk - 1) / kRowChunk * kRowChunk),
        lower_(size_t(padded_)),
        upper_(size_t(padded_)),
        value_(size_t(rows.entries)),
        measured_(size_t(rows.entries)),
        known_(size_t(rows.entries), -1) {
    // nothing is allocated while threads run
    const size_t size = std::bit_ceil(most + 1);
    for (auto* v : {&match_lower_, &match_upper_}) v->reserve(size);
    for (auto* v : {&before_, &histogram_, &counted_}) v->reserve(size);
    for (auto* v : {&matches_, &junk_}) v->reserve(most);
    ordered_.reserve(most);
    for (auto* v : {&close_, &wanted_}) v->reserve(size_t(padded_));
  }

  Scores run(int64_t q) {
    q_ = q;
    find_matches();
    if (!matches_.empty()) {
      write_row();
      count();
    }
    std::sort(before_.begin(), before_.end());
    return scores_of(before_.data(), int64_t(before_.size()));
  }

 private:
  struct Match {
    Place place;   // by which it is ordered: d², or v
    size_t index;  // in matches_
    bool operator<(const Match& other) const { return place < other.place; }
  };

  void find_matches() {
    matches_.clear();
    junk_.clear();
    before_.clear();
    const Identities& who = all_.identities;
    for (int64_t i = who.begin[q_]; i < who.end[q_]; ++i) {
      const int32_t k = who.by_identity[i];
      if (who.listed(k)) (who.junk(q_, k) ? junk_ : matches_).push_back(k);
    }
  }

  // The intervals of all entries and of the matches, which leave the row: what is left are those
  // that may come before a match.
  void write_row() {
    const auto bound =
        RoundingBound::of<double>(all_.x_norm2[q_], all_.dim, all_.dim + 1, all_.on_grid);
    write_intervals(RowIntervals{all_.entries, padded_, all_.gram + q_ * all_.entries, all_.norm2,
                                 length_, bound.slack, bound.share, lower_.data(), upper_.data()});
    ordered_.clear();
    double off = bound.own;
    for (const int32_t k : matches_) {
      const double low = lower_[size_t(k)], high = upper_[size_t(k)];
      off = std::max(off, 0.5 * (high - low) + 2 * bound.own);
      ordered_.push_back({{in_order(0.5 * (low + high)), k}, 0});
      if (all_.on_grid) value_[size_t(k)] = low;  // as good as the distance itself
    }
    set_matches(off);
    for (const std::vector<int32_t>* columns : {&matches_, &junk_})
      for (const int32_t k : *columns) lower_[size_t(k)] = upper_[size_t(k)] = kInfinity;
  }

  // match_lower_ and match_upper_ from what ordered_ holds.
  void set_matches(double off) {
    std::sort(ordered_.begin(), ordered_.end());
    const size_t n = ordered_.size(), size = std::bit_ceil(n + 1);
    match_lower_.assign(size, kInfinity);
    match_upper_.assign(size, kInfinity);
    for (size_t i = 0; i < n; ++i) {
      const double v = ordered_[i].place.value;
      matches_[i] = ordered_[i].place.column;
      match_lower_[i] = in_order(all_.on_grid ? v : std::nextafter(v - off, -kInfinity));
      match_upper_[i] = in_order(all_.on_grid ? v : std::nextafter(v + off, kInfinity));
    }
    histogram_.resize(size);
    before_.assign(n, 0);
  }

  // before_: for each match the entries before it.
  void count() {
    close_.clear();
    count_before(RowCounts{padded_, lower_.data(), upper_.data(), int64_t(matches_.size()),
                           match_lower_.data(), match_upper_.data(), before_.data(), &close_,
                           histogram_.data()});
    if (!close_.empty()) mend();
  }

  // Where an interval stands among those of the matches: it is before all from `behind` on, and
  // touches those from `apart` to `behind`.
  struct Stand {
    size_t apart, behind;
  };
  Stand stand(int32_t k) const {
    const double lower = lower_[size_t(k)], upper = upper_[size_t(k)];
    size_t apart = 0, behind = 0;  // both arrays are padded to a power of two; nothing to predict
    for (size_t half = match_lower_.size() / 2; half; half /= 2) {
      apart += half * size_t(match_upper_[apart + half - 1] < lower);
      behind += half * size_t(match_lower_[behind + half - 1] <= upper);
    }
    return {std::min(apart, matches_.size()), std::min(behind, matches_.size())};
  }

  // Entries close to a match, and the matches that they are close to, by their distances.
  void mend() {
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
      if ((touches += touched[i]) > 0) ordered_.push_back({{0, matches_[i]}, i});
    measure();
    int64_t sum = 0;
    size_t next = 0;
    for (Match& match : ordered_) {
      match.place.value = in_order(exact(match.place.column));
      while (next <= match.index) sum += counted[next++];
      before_[match.index] -= sum;
    }
    std::sort(ordered_.begin(), ordered_.end());
    counted.assign(ordered_.size() + 1, 0);
    for (const int32_t k : close_) {
      const Match entry{{in_order(all_.on_grid ? lower_[size_t(k)] : exact(k)), k}, 0};
      const auto after = std::lower_bound(ordered_.begin(), ordered_.end(), entry);
      ++counted[size_t(after - ordered_.begin())];
    }
    sum = 0;
    for (size_t i = 0; i < ordered_.size(); ++i) before_[ordered_[i].index] += sum += counted[i];
  }

  // Distances of what mend() compares, once for rows that are equal, and many together.
  void measure() {
    if (all_.on_grid) return;
    wanted_.clear();
    for (const Match& match : ordered_) want(match.place.column);
    for (const int32_t k : close_) want(k);
    distances(all_.x + q_ * all_.dim, all_.gallery, wanted_, all_.dim, measured_.data());
    for (size_t i = 0; i < wanted_.size(); ++i) value_[size_t(wanted_[i])] = measured_[i];
  }
  void want(int32_t k) {
    const int32_t i = all_.first_equal[k];
    if (known_[size_t(i)] == q_) return;
    known_[size_t(i)] = q_;
    wanted_.push_back(i);
  }
  double exact(int32_t k) const { return value_[size_t(all_.on_grid ? k : all_.first_equal[k])]; }

  const WholeRows<E>& all_;
  const double* const length_;
  const int64_t padded_;
  int64_t q_ = 0;
  std::vector<double> lower_, upper_, match_lower_, match_upper_;
  std::vector<double> value_, measured_;  // d² of the query with an entry, if
  std::vector<int64_t> known_;            // it is this query's
  std::vector<int32_t> matches_, junk_, close_, wanted_;
  std::vector<int64_t> before_, histogram_, counted_;
  std::vector<Match> ordered_;
};

}  // namespace

template <class E>
void match_rows(const WholeRows<E>& rows, Scores* out) {
  const int64_t tasks = task_count(rows.queries * rows.entries, 1 << 14);
  int64_t most = 0;  // entries of one identity
  for (int64_t q = 0; q < rows.queries; ++q)
    most = std::max(most, rows.identities.end[q] - rows.identities.begin[q]);
  std::vector<double> length(rows.norm2, rows.norm2 + rows.entries);
  for (double& l : length) l = std::sqrt(l);
  std::vector<Row<E>> workspaces;
  workspaces.reserve(size_t(tasks));
  for (int64_t t = 0; t < tasks; ++t) workspaces.emplace_back(rows, length.data(), size_t(most));
  for_tasks(tasks, rows.queries, 1, [&](int64_t t, int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; ++q) out[q] = workspaces[size_t(t)].run(q);
  });
}

template void match_rows(const WholeRows<float>&, Scores*);
template void match_rows(const WholeRows<double>&, Scores*);

}  // namespace drsl
