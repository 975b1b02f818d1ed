#include "llm_kernels/decoder.h"

#include <stdexcept>

#include "bindings/batch.h"
#include "bindings/linear.h"

namespace llm_kernels::bindings {
namespace {

// Takes a field out of the dict, so that what is left over is unknown.
template <class T>
void read(py::dict& fields, const char* name, T& target) {
  if (!fields.contains(name)) {
    throw std::invalid_argument("The decoder's configuration lacks '" + std::string(name) + "'.");
  }
  const py::object value = fields[name];
  try {
    target = value.cast<T>();
  } catch (const py::cast_error&) {
    throw std::invalid_argument("The decoder's " + std::string(name) + " is " +
                                py::repr(value).cast<std::string>() + ", which it cannot take.");
  }
  fields.attr("pop")(name);
}

DecoderConfig read_config(const py::dict& given) {
  py::dict fields = given.attr("copy")();
  DecoderConfig config;
  bool interleaved = false;
  int activation = 0, cache_layout = 0;
  read(fields, "hidden", config.hidden);
  read(fields, "embed_dim", config.embed_dim);
  read(fields, "layers", config.layers);
  read(fields, "heads", config.heads);
  read(fields, "kv_heads", config.kv_heads);
  read(fields, "head_dim", config.head_dim);
  read(fields, "value_dim", config.value_dim);
  read(fields, "vocab", config.vocab);
  read(fields, "layer_norm", config.layer_norm);
  read(fields, "post_norm", config.post_norm);
  read(fields, "residual_normed", config.residual_normed);
  read(fields, "residual_scale", config.residual_scale);
  read(fields, "out_norms", config.out_norms);
  read(fields, "parallel", config.parallel);
  read(fields, "embedding_scale", config.embedding_scale);
  read(fields, "score_scale", config.score_scale);
  read(fields, "score_cap", config.score_cap);
  read(fields, "logit_cap", config.logit_cap);
  read(fields, "eps", config.eps);
  read(fields, "rope_interleaved", interleaved);
  read(fields, "rope_channels", config.rope_channels);
  read(fields, "rope_magnitude", config.rope_magnitude);
  read(fields, "inverse_frequency", config.inverse_frequency);
  read(fields, "rope_first", config.rope_first);
  read(fields, "stage_lengths", config.stage_lengths);
  read(fields, "stage_frequencies", config.stage_frequencies);
  read(fields, "dynamic_length", config.dynamic_length);
  read(fields, "dynamic_factor", config.dynamic_factor);
  read(fields, "rope_theta", config.rope_theta);
  read(fields, "logn_length", config.logn_length);
  read(fields, "q_rank", config.q_rank);
  read(fields, "kv_rank", config.kv_rank);
  read(fields, "latent_eps", config.latent_eps);
  read(fields, "alibi_slopes", config.alibi_slopes);
  read(fields, "alibi_rounded_scale", config.alibi_rounded_scale);
  read(fields, "position_offset", config.position_offset);
  read(fields, "activation", activation);
  read(fields, "experts", config.experts);
  read(fields, "experts_per_token", config.experts_per_token);
  read(fields, "renormalize", config.renormalize);
  read(fields, "sigmoid_scores", config.sigmoid_scores);
  read(fields, "expert_groups", config.expert_groups);
  read(fields, "open_groups", config.open_groups);
  read(fields, "group_best", config.group_best);
  read(fields, "routed_scale", config.routed_scale);
  read(fields, "windows", config.windows);
  read(fields, "num_blocks", config.num_blocks);
  read(fields, "block_size", config.block_size);
  read(fields, "cache_layout", cache_layout);
  read(fields, "key_scales", config.key_scales);
  read(fields, "value_scales", config.value_scales);
  read(fields, "max_batch_tokens", config.max_batch_tokens);
  if (py::len(fields) > 0) {
    throw std::invalid_argument("Unknown fields in the decoder's configuration: " +
                                py::str(fields).cast<std::string>());
  }
  config.rope_pairing = interleaved ? RopePairing::interleaved : RopePairing::half;
  config.activation = static_cast<Activation>(activation);
  config.cache_layout = static_cast<CacheLayout>(cache_layout);
  check_block_size(config.block_size);
  return config;
}

NormWeights norm_weights(const py::array& weight, const OptionalArray& bias) {
  const float* scale = checked<float>("weight", weight, {kAny});
  NormWeights norm;
  norm.weight.assign(scale, scale + weight.size());
  if (bias) {
    const float* shift = checked<float>("bias", *bias, {weight.shape(0)});
    norm.bias.assign(shift, shift + weight.size());
  }
  return norm;
}

py::array_t<float> step(Decoder& decoder, const py::array& token_ids, const py::array& positions,
                        const OptionalArray& block_positions, const py::array& query_start,
                        const py::array& context_length, const OptionalArray& prefix_length,
                        const py::array& block_tables, const py::array& logits_rows,
                        const OptionalArray& rope_length, const OptionalArray& adapters) {
  Step input = {};
  input.batch = sequence_batch(query_start, context_length, block_tables, prefix_length);
  const py::ssize_t rows = input.batch.query_start[input.batch.sequences];
  input.token_ids = checked<std::int32_t>("token_ids", token_ids, {rows});
  input.positions = checked<std::int32_t>("positions", positions, {rows});
  input.block_positions = checked<std::int32_t>("block_positions", block_positions, {rows});
  input.logits_rows = checked<std::int32_t>("logits_rows", logits_rows, {kAny});
  input.logits_count = length(logits_rows, 0);
  const py::ssize_t sequences = signed_size(input.batch.sequences);
  input.rope_length = checked<std::int32_t>("rope_length", rope_length, {sequences});
  input.adapters = checked<std::int32_t>("adapters", adapters, {sequences});
  py::array_t<float> logits({logits_rows.shape(0), signed_size(decoder.config().vocab)});
  float* out = logits.mutable_data();
  const Unlocked nogil;
  decoder.step(input, out);
  return logits;
}

}  // namespace

void bind_decoder(py::module_& m) {
  py::class_<Decoder>(m, "Decoder")
      .def(py::init([](const py::dict& config, const std::string& isa, int threads) {
        return std::make_unique<Decoder>(read_config(config), isa_from_name(isa), threads);
      }))
      .def("add_float32",
           [](Decoder& d, const std::string& slot, int layer, int expert, const py::array& weight,
              const OptionalArray& bias) {
             d.add_linear(slot, layer, expert, pack_float32(d.table(), d.pool(), weight, bias));
           })
      .def("add_bfloat16",
           [](Decoder& d, const std::string& slot, int layer, int expert, const py::array& weight,
              const OptionalArray& bias, const std::string& kind, float scale) {
             d.add_linear(
                 slot, layer, expert,
                 pack_bfloat16(d.table(), d.pool(), weight, bias, input_form(kind, scale)));
           })
      .def("add_float8",
           [](Decoder& d, const std::string& slot, int layer, int expert, const py::array& codes,
              const py::array& scales, const OptionalArray& bias, const std::string& kind,
              float scale) {
             d.add_linear(
                 slot, layer, expert,
                 pack_float8(d.table(), d.pool(), codes, scales, bias, input_form(kind, scale)));
           })
      .def("add_int8",
           [](Decoder& d, const std::string& slot, int layer, int expert, const py::array& codes,
              const py::array& scales, const OptionalArray& bias, const std::string& kind,
              float scale) {
             d.add_linear(
                 slot, layer, expert,
                 pack_int8(d.table(), d.pool(), codes, scales, bias, input_form(kind, scale)));
           })
      .def("add_int4",
           [](Decoder& d, const std::string& slot, int layer, int expert, const py::array& packed,
              const py::array& scales, const OptionalArray& zeros, const OptionalArray& bias,
              const std::string& kind, float scale) {
             d.add_linear(slot, layer, expert,
                          pack_int4(d.table(), d.pool(), packed, scales, zeros, bias,
                                    input_form(kind, scale)));
           })
      .def(
          "add_borrowed",
          [](Decoder& d, const std::string& slot, int layer, int expert,
             const std::array<std::size_t, 4>& header, const py::array& codes,
             const OptionalArray& scales, const OptionalArray& offsets, const OptionalArray& bias,
             const std::string& kind, float scale) {
            d.add_linear(slot, layer, expert,
                         pack_borrowed(d.table(), header, codes, scales, offsets, bias,
                                       input_form(kind, scale)));
          },
          py::keep_alive<1, 6>(), py::keep_alive<1, 7>(), py::keep_alive<1, 8>())
      .def("add_norm",
           [](Decoder& d, const std::string& slot, int layer, const py::array& weight,
              const OptionalArray& bias) { d.add_norm(slot, layer, norm_weights(weight, bias)); })
      .def("add_table",
           [](Decoder& d, const std::string& slot, const py::array& data) {
             const float* values = checked<float>("table", data, {kAny, kAny});
             const std::size_t rows = length(data, 0), columns = length(data, 1);
             d.add_table(slot, [&] {
               const Unlocked nogil;
               return Table::copy(values, rows, columns);
             }());
           })
      .def(
          "add_bfloat16_table",
          [](Decoder& d, const std::string& slot, const py::array& bits) {
            const auto* values = checked<std::uint16_t>("table", bits, {kAny, kAny});
            d.add_table(slot, Table::borrow(values, length(bits, 0), length(bits, 1)));
          },
          py::keep_alive<1, 3>())
      .def("seal", &Decoder::seal)
      .def("step", &step)
      .def("add_vector",
           [](Decoder& d, const std::string& slot, int layer, const py::array& data) {
             const float* values = checked<float>("vector", data, {kAny});
             d.add_vector(slot, layer, std::vector<float>(values, values + data.size()));
           })
      .def_property_readonly("isa", [](const Decoder& d) { return isa_name(d.isa()); })
      .def_property_readonly("threads", [](Decoder& d) { return d.pool().threads(); })
      .def_property_readonly("weight_bytes", &Decoder::weight_bytes)
      .def_property_readonly("cache_bytes", &Decoder::cache_bytes);
}

}  // namespace llm_kernels::bindings
