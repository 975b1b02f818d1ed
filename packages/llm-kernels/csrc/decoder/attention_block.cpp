// The attention block: projections, head norms, rotation, cache, attention, output projection.
#include <cmath>

#include "decoder/state.h"

namespace llm_kernels {
namespace {

constexpr std::size_t kRowsPerTask = 8;

// Floats of a row's queries, keys and values, which lie one behind the other.
std::size_t qkv_stride(const DecoderConfig& config) {
  return (config.heads + config.kv_heads) * config.head_dim + config.kv_heads * config.value_dim;
}

}  // namespace

// Norms and rotates the heads of q and k in place, and writes k and v to the cache.
void Decoder::heads_to_cache(std::size_t layer, State& state) {
  const LayerWeights& weights = layers_[layer];
  const std::size_t dim = config_.head_dim;
  const std::size_t pairs = config_.inverse_frequency.size();
  const std::size_t stride = qkv_stride(config_);
  const KeyValueCache cache = caches_.layer(layer);
  pool_.run((state.rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::size_t task, int) {
    const std::size_t begin = task * kRowsPerTask;
    const std::size_t end = std::min(state.rows, begin + kRowsPerTask);
    for (std::size_t row = begin; row < end && !weights.q_norm.weight.empty(); ++row) {
      float* q = qkv_.data() + row * stride;
      for (std::size_t head = 0; head < config_.heads + config_.kv_heads; ++head) {
        const NormWeights& norm = head < config_.heads ? weights.q_norm : weights.k_norm;
        table_.rms_norm(q + head * dim, norm.weight.data(), config_.eps, dim, q + head * dim);
      }
    }
    for (std::size_t channel = 0; pairs > 0 && channel < config_.rope_channels; ++channel) {
      const std::size_t angles = channel * state.rows * pairs;
      const RopeArguments heads = {qkv_.data(),
                                   state.cos.data() + angles,
                                   state.sin.data() + angles,
                                   state.rows,
                                   stride,
                                   config_.heads + config_.kv_heads,
                                   dim,
                                   config_.rope_first + channel * 2 * pairs,
                                   pairs,
                                   config_.rope_pairing};
      rope_rows(table_, heads, begin, end);
    }
    for (std::size_t row = begin; row < end && !state.query_scale.empty(); ++row) {
      float* q = qkv_.data() + row * stride;
      for (std::size_t i = 0; i < config_.heads * dim; ++i) q[i] *= state.query_scale[row];
    }
    for (std::size_t row = begin; row < end; ++row) {
      const float* key = qkv_.data() + row * stride + config_.heads * dim;
      store_key_value(caches_.shape(), state.slots[row], key, key + config_.kv_heads * dim, cache);
    }
  });
}

// Queries, keys and values of every row to qkv_, before their rotation.
void Decoder::project_heads(const LayerWeights& weights, const float* x, State& state) {
  const std::size_t stride = qkv_stride(config_);
  float* qkv = grown(qkv_, state.rows * stride);
  if (config_.kv_rank > 0) return latent_heads(weights, x, stride, state);
  const std::size_t dim = config_.head_dim;
  const std::vector<LinearPart> parts = {
      {&weights.qkv[0], qkv, stride},
      {&weights.qkv[1], qkv + config_.heads * dim, stride},
      {&weights.qkv[2], qkv + (config_.heads + config_.kv_heads) * dim, stride}};
  linear(table_, pool_, linear_scratch_, x, state.rows, parts);
  adapters_.apply(table_, pool_, x, parts);
}

void Decoder::attention(std::size_t layer, const float* x, State& state) {
  const LayerWeights& weights = layers_[layer];
  project_heads(weights, x, state);
  heads_to_cache(layer, state);

  PagedAttention arguments = {};
  arguments.q = qkv_.data();
  arguments.out = grown(mixed_, state.rows * config_.heads * config_.value_dim);
  arguments.slopes = config_.alibi_slopes.empty() ? nullptr : config_.alibi_slopes.data();
  arguments.q_stride = qkv_stride(config_);
  arguments.heads = config_.heads;
  arguments.window = config_.windows[layer];
  arguments.scale = config_.score_scale;
  arguments.cap = config_.score_cap;
  arguments.rounded_scale = config_.alibi_rounded_scale;
  arguments.shape = caches_.shape();
  arguments.cache = caches_.layer(layer);
  paged_attention(table_, pool_, attention_scratch_, arguments, state.batch, state.plan);
  const std::vector<LinearPart> out = {{&weights.out.front(), state.x, config_.hidden, true}};
  linear(table_, pool_, linear_scratch_, arguments.out, state.rows, out);
  adapters_.apply(table_, pool_, arguments.out, out);
}

}  // namespace llm_kernels
