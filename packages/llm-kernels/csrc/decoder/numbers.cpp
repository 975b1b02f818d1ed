// What a description must fulfil before anything is allocated or divided by.
#include "decoder/numbers.h"

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
  demand(2 * config.rope_channels * config.inverse_frequency.size() <= config.head_dim,
         "rotary frequencies are too many for its head_dim");
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
