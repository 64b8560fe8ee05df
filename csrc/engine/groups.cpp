#include "engine/groups.h"

#include <algorithm>

#include "engine/hash_index.h"

namespace drsl {

Groups::Groups(const int64_t* gallery, int64_t columns, const int64_t* query, int64_t rows)
    : column_(size_t(columns)), group_(size_t(rows)) {
  HashIndex index(columns);
  std::vector<int64_t> label;  // of each group
  std::vector<int32_t> group_of_column(static_cast<size_t>(columns));
  const auto find = [&](int64_t wanted, int32_t fresh) {
    return index.find(uint64_t(wanted), fresh,
                      [&](int32_t g) { return label[size_t(g)] == wanted; });
  };
  for (int64_t k = 0; k < columns; ++k) {
    const auto fresh = int32_t(label.size());
    const int32_t g = find(gallery[k], fresh);
    if (g == fresh) label.push_back(gallery[k]);
    group_of_column[size_t(k)] = g;
  }
  const size_t groups = label.size();
  start_.assign(groups + 2, 0);
  for (const int32_t g : group_of_column) ++start_[size_t(g) + 1];
  for (size_t g = 0; g < groups; ++g) {
    largest_ = std::max(largest_, start_[g + 1]);
    start_[g + 1] += start_[g];
  }
  start_[groups + 1] = start_[groups];
  std::vector<int64_t> next(start_.begin(), start_.end());
  for (int64_t k = 0; k < columns; ++k)
    column_[size_t(next[size_t(group_of_column[size_t(k)])]++)] = int32_t(k);
  for (int64_t q = 0; q < rows; ++q) {
    const int32_t g = find(query[q], -1);
    group_[size_t(q)] = g < 0 ? int32_t(groups) : g;
  }
}

}  // namespace drsl
