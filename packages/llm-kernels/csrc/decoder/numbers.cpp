// What a description must fulfil before anything is allocated or divided by.
#include "decoder/numbers.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace llm_kernels {

void check_numbers(const DecoderConfig& config) {
  const std::pair<const char*, std::size_t> positive[] = {
      {"hidden", config.hidden},     {"embed_dim", config.embed_dim},
      {"layers", config.layers},     {"heads", config.heads},
      {"kv_heads", config.kv_heads}, {"head_dim", config.head_dim},
      {"vocab", config.vocab},       {"max_batch_tokens", config.max_batch_tokens},
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
  demand(config.activation >= 0 && config.activation < kActivations, "activation is unknown");
}

}  // namespace llm_kernels
