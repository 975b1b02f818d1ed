// The extension module llm_kernels._native. A binding checks its arrays, releases the GIL and makes
// one call; std::invalid_argument reaches Python as ValueError.
#include "bindings/arrays.h"
#include "llm_kernels/isa.h"

namespace llm_kernels::bindings {

PYBIND11_MODULE(_native, m) {
  m.doc() = "C++ kernels of llm_kernels; use llm_kernels.ops and llm_kernels.decoder.";
  m.def("detected_isa", [] { return isa_name(detected_isa()); });
  m.def("selected_isa", [] { return isa_name(selected_isa()); });
  m.def("packed_isa",
        [](const std::string& isa) { return isa_name(packed_isa(isa_from_name(isa))); });
  m.def("runnable_isas", [] {
    std::vector<std::string> names;
    for (Isa isa : runnable_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  bind_ops(m);
  bind_linear(m);
  bind_merge_low_rank(m);
  bind_paged_attention(m);
  bind_decoder(m);
  bind_decoder_cache(m);
}

}  // namespace llm_kernels::bindings
