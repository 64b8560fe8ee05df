#pragma once
// The list of losses on embeddings: the one place where a name and numbers become a type.
#include <cmath>
#include <string>
#include <vector>

#include "core/losses/batch_hard_triplet.h"
#include "core/losses/drsl.h"
#include "core/losses/fidi.h"
#include "core/losses/smooth_ap.h"
#include "core/step.h"

namespace drsl {

template <class T>
using DrslSmooth = Drsl<T, Ramp<T>>;
template <class T>
using DrslStep = Drsl<T, Hard<T>>;

// X(policy): every policy that engines compile a row kernel for.
#define DRSL_FOR_EACH_POLICY(X) X(DrslSmooth) X(DrslStep) X(Fidi) X(SmoothAP) X(BatchHardTriplet)

// f(policy) for the loss of that name; false if there is none or it takes other parameters.
// They are finite.
template <class T, class F>
bool with_policy(const std::string& loss, const std::vector<double>& p, F f) {
  for (const double parameter : p)
    if (!std::isfinite(parameter)) return false;
  if (loss == "drsl" && p.size() == 4 && p[0] >= 0) {
    if (p[0] == 0)
      f(DrslStep<T>{{}, Hard<T>(), T(p[1]), T(p[2]), T(p[3])});
    else
      f(DrslSmooth<T>{{}, Ramp<T>(T(p[0])), T(p[1]), T(p[2]), T(p[3])});
    return true;
  }
  if (loss == "fidi" && p.size() == 2 && p[0] > 1 && p[1] > 0) {
    f(Fidi<T>(p[0], p[1]));
    return true;
  }
  if (loss == "smooth_ap" && p.size() == 2 && p[0] > 0) {
    f(SmoothAP<T>{{}, Sigmoid<T>(T(p[0])), p[1] != 0});
    return true;
  }
  if (loss == "batch_hard_triplet" && p.size() <= 1) {
    f(BatchHardTriplet<T>{p.empty() ? T(0) : T(p[0]), p.empty()});
    return true;
  }
  return false;
}

// What engines ask of a policy before they run it.
struct Traits {
  AngularAt angular;
  bool own_is_positive;
};
inline bool find_traits(const std::string& loss, const std::vector<double>& params,
                        Traits& traits) {
  return with_policy<float>(loss, params, [&](const auto& policy) {
    traits = {policy.kAngular, policy.own_is_positive};
  });
}

}  // namespace drsl
