// What is no tensor: how the library was built, and how a problem would be run.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "engine/plan.h"
#ifdef DRSL_WITH_CUDA
#include "cuda/plan.h"
#endif

namespace py = pybind11;

namespace {

py::dict as_dict(const drsl::Plan& p) {
  py::dict plan;
  plan["path"] = drsl::name(p.path);
  plan["sets"] = p.sets;
  plan["block_rows"] = p.block_rows;
  plan["workspace_bytes"] = p.workspace_bytes;
  plan["why"] = p.why;
  return plan;
}

std::string compiler() {
#ifdef __clang__  // which claims to be __GNUC__ as well
  return "clang " + std::to_string(__clang_major__) + "." + std::to_string(__clang_minor__) + "." +
         std::to_string(__clang_patchlevel__);
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  m.def("build_info", [] {
    py::dict info;
    info["version"] = DRSL_VERSION;
    info["compiler"] = compiler();
#ifdef DRSL_WITH_CUDA
    info["cuda"] = true;
#else
    info["cuda"] = false;
#endif
    info["cuda_archs"] = DRSL_CUDA_ARCHS;
    return info;
  });

  m.def(
      "plan",
      [](const std::string& device, int64_t sets, int64_t rows, int64_t columns, int64_t dim,
         bool self, bool gradient, int64_t item, bool normalize) {
        const drsl::Shape shape{sets, rows, columns, dim, self, gradient, item};
#ifdef DRSL_WITH_CUDA
        if (device == "cuda") return as_dict(drsl::cuda::plan_cuda(shape, normalize));
#else
        (void)normalize;
#endif
        if (device == "cpu") return as_dict(drsl::plan_cpu(shape));
        throw py::value_error("no plan for device " + device);
      },
      py::arg("device"), py::arg("sets"), py::arg("rows"), py::arg("columns"), py::arg("dim"),
      py::arg("self"), py::arg("gradient"), py::arg("item"), py::arg("normalize"));
}
