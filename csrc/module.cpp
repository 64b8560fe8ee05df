// What is no tensor: how the library was built, and how a problem would be run.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "engine/plan.h"

#ifndef DRSL_VERSION
#define DRSL_VERSION "unknown"
#endif
#ifndef DRSL_CUDA_ARCHS
#define DRSL_CUDA_ARCHS ""
#endif

namespace py = pybind11;

PYBIND11_MODULE(_C, m) {
  m.def("build_info", [] {
    py::dict info;
    info["version"] = DRSL_VERSION;
    info["compiler"] = __VERSION__;
#ifdef DRSL_WITH_CUDA
    info["cuda"] = true;
#else
    info["cuda"] = false;
#endif
    info["cuda_archs"] = DRSL_CUDA_ARCHS;
    return info;
  });

  m.def(
      "plan_cpu",
      [](int64_t sets, int64_t rows, int64_t columns, int64_t dim, bool self, bool gradient,
         int64_t item) {
        const drsl::Plan p = drsl::plan_cpu({sets, rows, columns, dim, self, gradient, item});
        py::dict plan;
        plan["path"] = drsl::name(p.path);
        plan["block_rows"] = p.block_rows;
        plan["workspace_bytes"] = p.workspace_bytes;
        plan["why"] = p.why;
        return plan;
      },
      py::arg("sets"), py::arg("rows"), py::arg("columns"), py::arg("dim"), py::arg("self"),
      py::arg("gradient"), py::arg("item"));
}
