// A unit whose tiles for few rows serve many as well.
#pragma once

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr TallTiles kTall = {0, {}, 1, {SIZE_MAX, SIZE_MAX, SIZE_MAX}, {}, {}};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
