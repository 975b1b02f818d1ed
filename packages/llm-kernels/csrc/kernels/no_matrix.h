// A unit without a matrix unit.
#pragma once

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr MatrixKernels kMatrix = {0, {SIZE_MAX, SIZE_MAX, SIZE_MAX}, {}, nullptr};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
