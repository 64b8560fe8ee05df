#pragma once
// The fused pass of one set: embeddings → losses of the queries and, if wanted, gradients
// of both sides.
#include <cstdint>
#include <string>
#include <vector>

#include "cpu/rows.h"
#include "engine/plan.h"
#include "engine/selection.h"

namespace drsl {

struct Results {
  double* loss;   // [B]
  double* terms;  // [B, 3]
};

// counts and weight are [B]. grad_x [B, D] and grad_r [G, D] are overwritten; either may be null,
// grad_r is where the gallery is the batch.
template <class T>
void embedding_loss(const Plan& plan, const Rows<T>& x, const Rows<T>& r, bool self_gallery,
                    const Selection& selection, const Selection::Counts* counts,
                    const double* weight, const std::string& loss,
                    const std::vector<double>& params, bool normalize, Results results, T* grad_x,
                    T* grad_r);

}  // namespace drsl
