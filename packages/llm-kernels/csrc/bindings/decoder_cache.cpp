// What reaches into a decoder's cache between steps; the class itself is bound in decoder.cpp.
#include "bindings/arrays.h"
#include "llm_kernels/decoder.h"

namespace llm_kernels::bindings {

void bind_decoder_cache(py::module_& m) {
  bind_decoder_adapters(m);
  auto decoder = py::reinterpret_borrow<py::class_<Decoder>>(m.attr("Decoder"));
  decoder
      .def("copy_blocks",
           [](Decoder& d, const py::array& pairs) {
             const auto* from = checked<std::int32_t>("pairs", pairs, {kAny, 2});
             const std::size_t count = length(pairs, 0);
             const Unlocked nogil;
             d.copy_blocks(from, count);
           })
      .def("write_cache", [](Decoder& d, std::size_t layer, const py::array& slots,
                             const py::array& keys, const py::array& values) {
        const auto* where = checked<std::int32_t>("slots", slots, {kAny});
        const DecoderConfig& config = d.config();
        const py::ssize_t heads = signed_size(config.kv_heads);
        const float* key =
            checked<float>("keys", keys, {slots.shape(0), heads, signed_size(config.head_dim)});
        const float* value = checked<float>("values", values,
                                            {slots.shape(0), heads, signed_size(config.value_dim)});
        const std::size_t tokens = length(slots, 0);
        const Unlocked nogil;
        d.write_cache(layer, where, tokens, key, value);
      });
}

}  // namespace llm_kernels::bindings
