#pragma once
// Where the ramp of the step around a score s ends: at s + δ. Beyond, H is 1.
#include <cmath>
#include <limits>

#include "core/host_device.h"

namespace drsl {

// A step that is narrower than the spacing of numbers still has its own score on its ramp.
DRSL_HD double end_of_ramp(double s, double delta) {
  const double end = s + delta;
  return end > s || delta == 0 ? end : nextafter(s, std::numeric_limits<double>::infinity());
}

}  // namespace drsl
