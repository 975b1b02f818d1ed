// Adapters of a decoder; the class itself is bound in decoder.cpp.
#include "bindings/arrays.h"
#include "llm_kernels/decoder.h"

namespace llm_kernels::bindings {

void bind_decoder_adapters(py::module_& m) {
  auto decoder = py::reinterpret_borrow<py::class_<Decoder>>(m.attr("Decoder"));
  decoder.def("add_adapter", [](Decoder& d, const std::string& slot, int layer, std::int32_t number,
                                const py::array& a, const py::array& b) {
    const PackedLinear& weight = d.adaptable(slot, layer);
    const float* narrow = checked<float>("a", a, {kAny, signed_size(weight.inputs())});
    const float* wide = checked<float>("b", b, {a.shape(0), signed_size(weight.rows())});
    const std::size_t rank = length(a, 0);
    const Unlocked nogil;
    d.add_adapter(slot, layer, number, narrow, wide, rank);
  });
}

}  // namespace llm_kernels::bindings
