// What a description must fulfil before anything is allocated or divided by.
#include "decoder/numbers.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

namespace llm_kernels {

void check_numbers(const DecoderConfig& config) {
  const std::pair<const char*, std::size_t> positive[] = {
      {"hidden", config.hidden},
      {"embed_dim", config.embed_dim},
      {"layers", config.layers},
      {"heads", config.heads},
      {"kv_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"value_dim", config.value_dim},
      {"vocab", config.vocab},
      {"max_batch_tokens", config.max_batch_tokens},
  };
  for (const auto& [name, value] : positive) {
    if (value == 0) {
      throw std::invalid_argument("The decoder's " + std::string(name) +
                                  " is 0; at least 1 is needed.");
    }
  }
  const auto demand = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("The decoder's " + std::string(what) + ".");
  };
  demand(config.heads % config.kv_heads == 0, "heads are no multiple of its kv_heads");
  demand(config.windows.size() == config.layers, "windows are not one a layer");
  demand(config.alibi_slopes.empty() || config.alibi_slopes.size() == config.heads,
         "alibi_slopes are not one a head");
  const std::size_t pairs = config.inverse_frequency.size();
  demand(config.rope_first + 2 * config.rope_channels * pairs <= config.head_dim,
         "rotary frequencies are too many for its head_dim");
  demand(config.stage_frequencies.size() == config.stage_lengths.size() * pairs &&
             std::is_sorted(config.stage_lengths.begin(), config.stage_lengths.end()),
         "stage_lengths do not rise, or stage_frequencies are not a row of each");
  demand(config.dynamic_factor >= 1.0 && config.rope_theta > 0.0,
         "dynamic_factor is below 1, or its rope_theta not above 0");
  demand(config.logn_length != 1, "logn_length is 1, of which the logarithm is 0");
  demand(config.kv_rank == 0 ||
             (config.kv_heads == config.heads && config.rope_first + 2 * pairs == config.head_dim),
         "heads of latent attention are not each their own, or do not end with what rotates");
  demand(config.kv_rank > 0 || config.q_rank == 0, "q_rank belongs to latent attention alone");
  demand(config.expert_groups > 0 && config.group_best > 0 && config.open_groups > 0 &&
             config.open_groups <= config.expert_groups,
         "groups of experts are none, or fewer than open_groups");
  demand(config.cache_layout >= 0 && config.cache_layout < kCacheLayouts,
         "cache_layout is unknown");
  const std::size_t scales =
      config.cache_layout == kCacheInt8 ? config.layers * config.kv_heads : 0;
  demand(config.key_scales.size() == scales && config.value_scales.size() == scales,
         "key_scales and value_scales are not one a layer and key/value head of a cache of int8 "
         "with given scales, and none of another");
  for (const std::vector<float>* given : {&config.key_scales, &config.value_scales}) {
    for (const float scale : *given) {
      demand(scale > 0.0f && std::isfinite(scale), "scales of the cache are not all above 0");
    }
  }
  demand(config.activation >= 0 && config.activation < kActivations, "activation is unknown");
}

}  // namespace llm_kernels
