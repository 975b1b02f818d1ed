// A unit without a matrix unit.
#pragma once

#include "kernels/attention.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr MatrixKernels kMatrix = {0, {SIZE_MAX, SIZE_MAX, SIZE_MAX}, {}, nullptr};

constexpr size_t kBFloat16Queries = kAttendQueries;
inline void attend_bfloat16(const AttentionItem& item) { attend<BFloat16Items>(item); }

}  // namespace llm_kernels::LLM_KERNELS_UNIT
