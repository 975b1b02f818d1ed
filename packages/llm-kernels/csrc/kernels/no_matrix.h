// A unit without a matrix unit: attention over a bfloat16 cache is as over others.
#pragma once

#include "kernels/attention.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kBFloat16Queries = kAttendQueries;
inline void attend_bfloat16(const AttentionItem& item) { attend<BFloat16Items>(item); }

}  // namespace llm_kernels::LLM_KERNELS_UNIT
