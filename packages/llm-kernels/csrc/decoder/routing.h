// Which experts each row of a mixture visits.
#pragma once

#include <cstddef>
#include <vector>

#include "llm_kernels/decoder.h"

namespace llm_kernels {

struct Choice {
  std::size_t row;
  float weight;
};

// What each expert computes.
struct Routing {
  std::vector<Choice> choices;      // expert after expert, rows rising
  std::vector<std::size_t> starts;  // [experts + 1]: where each one's choices begin

  const Choice* of(std::size_t expert) const { return choices.data() + starts[expert]; }
  std::size_t rows(std::size_t expert) const { return starts[expert + 1] - starts[expert]; }
};

// `scores` [rows, experts] are the router's outputs, which are written over. `correction` [experts]
// joins them for the choice alone; empty: none. Of equal experts the lower index is chosen, and one
// whose score is no number after all others.
Routing choose_experts(const DecoderConfig& config, ThreadPool& pool, float* scores,
                       std::size_t rows, std::size_t experts, const std::vector<float>& correction);

}  // namespace llm_kernels
