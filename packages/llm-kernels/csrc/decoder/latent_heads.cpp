// Queries, keys and values of multi-head latent attention (DeepSeek-AI 2024, arXiv:2405.04434), as
// the cache keeps them of any model: a key and a value of every head.
#include <algorithm>
#include <cstring>

#include "decoder/state.h"

namespace llm_kernels {
namespace {

constexpr std::size_t kRowsPerTask = 8;

}  // namespace

// The narrow vectors, normed: the first `rank` numbers of each row of `down`.
const float* Decoder::narrowed(const NormWeights& norm, const float* down, std::size_t rows,
                               std::size_t width, std::size_t rank) {
  float* narrow = grown(latent_, rows * rank);
  pool_.run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::size_t task, int) {
    const std::size_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (std::size_t row = task * kRowsPerTask; row < end; ++row) {
      table_.rms_norm(down + row * width, norm.weight.data(), config_.latent_eps, rank,
                      narrow + row * rank);
    }
  });
  return narrow;
}

void Decoder::latent_heads(const LayerWeights& weights, const float* x, std::size_t stride,
                           State& state) {
  const std::size_t rows = state.rows;
  float* qkv = qkv_.data();
  if (config_.q_rank > 0) {
    float* down = grown(gathered_, rows * config_.q_rank);
    linear(table_, pool_, linear_scratch_, x, rows,
           {{&weights.q_down.front(), down, config_.q_rank}});
    const float* narrow = narrowed(weights.q_down_norm, down, rows, config_.q_rank, config_.q_rank);
    linear(table_, pool_, linear_scratch_, narrow, rows, {{&weights.q_up.front(), qkv, stride}});
  } else {
    linear(table_, pool_, linear_scratch_, x, rows, {{&weights.qkv.front(), qkv, stride}});
  }
  const std::size_t turned = 2 * config_.inverse_frequency.size();
  const std::size_t still = config_.head_dim - turned;
  const std::size_t width = config_.kv_rank + turned;
  const std::size_t each = still + config_.value_dim;
  float* down = grown(gathered_, rows * width);
  linear(table_, pool_, linear_scratch_, x, rows, {{&weights.kv_down.front(), down, width}});
  const float* narrow = narrowed(weights.kv_down_norm, down, rows, width, config_.kv_rank);
  float* wide = grown(inner_, rows * config_.heads * each);
  linear(table_, pool_, linear_scratch_, narrow, rows,
         {{&weights.kv_up.front(), wide, config_.heads * each}});
  pool_.run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::size_t task, int) {
    const std::size_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (std::size_t row = task * kRowsPerTask; row < end; ++row) {
      float* key = qkv + row * stride + config_.heads * config_.head_dim;
      float* value = key + config_.heads * config_.head_dim;
      for (std::size_t head = 0; head < config_.heads; ++head) {
        const float* from = wide + (row * config_.heads + head) * each;
        std::memcpy(key, from, still * sizeof(float));
        // All heads share what rotates, which does not pass through the narrow vector.
        std::memcpy(key + still, down + row * width + config_.kv_rank, turned * sizeof(float));
        std::memcpy(value, from + still, config_.value_dim * sizeof(float));
        key += config_.head_dim;
        value += config_.value_dim;
      }
    }
  });
}

}  // namespace llm_kernels
