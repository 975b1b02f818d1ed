#pragma once

#include "llm_kernels/decoder.h"

namespace llm_kernels {

// std::invalid_argument, naming the number, where the description contradicts itself.
void check_numbers(const DecoderConfig& config);

}  // namespace llm_kernels
