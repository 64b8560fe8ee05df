#pragma once
// Labels → who is a positive of whom. Gallery columns of one label stand together,
// ascending; a query knows its group. Labels are any integers: a hash table numbers them in
// order of first appearance.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace drsl {

class Groups {
 public:
  Groups(const int64_t* gallery, int64_t columns, const int64_t* query, int64_t rows);

  // Columns that carry the label of query q (its own copy and excluded ones among them).
  const int32_t* begin(int64_t q) const {
    return column_.data() + start_[size_t(group_[size_t(q)])];
  }
  const int32_t* end(int64_t q) const {
    return column_.data() + start_[size_t(group_[size_t(q)]) + 1];
  }
  int64_t largest() const { return largest_; }

 private:
  std::vector<int32_t> column_;  // columns, group by group
  // [groups + 2]; the last group is empty: labels that the gallery lacks
  std::vector<int64_t> start_;
  std::vector<int32_t> group_;  // [rows]
  int64_t largest_ = 0;
};

}  // namespace drsl
