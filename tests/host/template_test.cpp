// csrc/core/losses/_template.h, run by the CPU's row: the loss against plain loops, its derivatives
// against differences of them. Prints what is wrong; nothing if all is right.
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/losses/_template.h"
#include "cpu/row_each.h"
#include "cpu/row_sorted.h"

namespace {

constexpr double kMargin = 1.5;
constexpr int kColumns = 2 * drsl::kChunk, kEntries = 101;

bool is_positive(int k) { return k % 7 == 3; }

double loss_of(const std::vector<double>& distance) {
  double sum = 0;
  for (int k = 0; k < kEntries; ++k) {
    const double d = distance[size_t(k)], inside = std::fmax(0, kMargin - d);
    sum += is_positive(k) ? d * d : inside * inside;
  }
  return sum / kEntries;
}

template <class T>
int check(double tolerance) {
  std::vector<double> distance;
  for (int k = 0; k < kEntries; ++k) distance.push_back(T(0.05 + 2 * std::fmod(k * 0.618, 1.0)));

  drsl::Row<T> row(kColumns, kEntries, false);
  drsl::Buffer<T> charges(kColumns);
  for (int k = 0; k < kColumns; ++k) {
    const bool entry = k < kEntries;
    row.distance.get()[k] = entry && !is_positive(k) ? T(distance[size_t(k)]) : T(INFINITY);
    if (!entry || !is_positive(k)) continue;
    row.d[size_t(row.n)] = T(distance[size_t(k)]);
    row.column[size_t(row.n++)] = k;
  }
  row.begin(charges.get());
  drsl::EachRow<T> each(row, kColumns, kEntries - row.n);
  const drsl::Template<T> policy{T(kMargin)};
  policy(each);

  std::vector<double> slope(size_t(kColumns), 0.0);
  for (int k = 0; k < kColumns; ++k) slope[size_t(k)] = -double(charges.get()[k]);
  for (int i = 0; i < row.n; ++i)
    slope[size_t(row.column[size_t(i)])] = double(row.grad_distance[size_t(i)]);

  int wrong = 0;
  const auto expect = [&](const char* what, int k, double got, double wanted) {
    if (std::fabs(got - wanted) <= tolerance) return;
    std::printf("%s %d: %.17g, not %.17g\n", what, k, got, wanted);
    ++wrong;
  };
  expect("loss", 0, policy.total(T(row.terms[0]), T(row.terms[1]), T(0)), loss_of(distance));
  if (policy.weight(row.n, kEntries - row.n) != kEntries) std::printf("weight\n"), ++wrong;
  for (int k = 0; k < kColumns; ++k) {
    double wanted = 0;
    if (k < kEntries) {
      constexpr double kStep = 1e-6;
      std::vector<double> moved = distance;
      moved[size_t(k)] += kStep;
      const double above = loss_of(moved);
      moved[size_t(k)] -= 2 * kStep;
      wanted = (above - loss_of(moved)) / (2 * kStep);
    }
    expect("slope", k, slope[size_t(k)], wanted);
  }
  return wrong;
}

}  // namespace

// Sums of a hundred terms of size 1/100, and differences of step 1e-6.
int main() { return check<double>(1e-9) + check<float>(1e-6) > 0; }
