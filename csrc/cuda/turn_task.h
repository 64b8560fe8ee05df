#pragma once
// Turn<E> → what kernels that do not know E are handed.
#include "cuda/source_gram.cuh"
#include "cuda/stages.h"

namespace drsl::cuda {

template <class E>
TurnSide<Accumulator<E>> turn_side(const Side<E>& side) {
  return {side.rows, side.norms.norm, side.norms.inverse, side.norms.norm2, side.count};
}

template <class E>
bool rows_aligned(const Side<E>& side) {
  const auto start = reinterpret_cast<uintptr_t>(side.rows);
  return (start | uintptr_t(side.dim * int64_t(sizeof(E)))) % 16 == 0;
}

template <class E>
TurnTask<Accumulator<E>> turn_task(const Turn<E>& t) {
  TurnTask<Accumulator<E>> task;
  task.sets = t.sets, task.first = t.first, task.count = t.count;
  task.dim = t.x.dim, task.ld = t.ld;
  task.x = turn_side(t.x), task.r = turn_side(t.r);
  task.element = kElement<E>;
  task.aligned = rows_aligned(t.x) && rows_aligned(t.r);
  task.selected = t.selected;
  task.weight = t.weight;
  task.counted = t.counted;
  task.gradient = t.gradient;
  task.gram = t.gram, task.angular = t.angular;
  task.at = t.at;
  task.near = t.near, task.some = t.some;
  task.loss = t.loss, task.terms = t.terms, task.radial = t.radial;
  task.weighs = t.weighs;
  return task;
}

}  // namespace drsl::cuda
