// The extension module llm_kernels._native: every binding is declared here and written beside its op.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "llm_kernels/isa.h"

namespace py = pybind11;
using namespace llm_kernels;

PYBIND11_MODULE(_native, m) {
  m.doc() = "C++ kernels of llm_kernels; use llm_kernels.ops and llm_kernels.decoder.";
  m.def("detected_isa", [] { return isa_name(detected_isa()); });
  m.def("selected_isa", [] { return isa_name(selected_isa()); });
  m.def("runnable_isas", [] {
    std::vector<std::string> names;
    for (Isa isa : runnable_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
}
