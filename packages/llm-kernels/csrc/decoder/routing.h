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

// The rows of every expert: `scores` [rows, experts] are the router's outputs, which are written
// over. `correction` [experts] joins them for the choice alone; empty: none.
std::vector<std::vector<Choice>> choose_experts(const DecoderConfig& config, float* scores,
                                                std::size_t rows, std::size_t experts,
                                                const std::vector<float>& correction);

}  // namespace llm_kernels
