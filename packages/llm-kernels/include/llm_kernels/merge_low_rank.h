// A weight plus a product of low rank, as it comes of merging a LoRA adapter.
#pragma once

#include <cstddef>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

struct MergeLowRank {
  const void* w;  // [rows, columns] of `from`, rows `stride` items apart
  std::size_t stride;
  const float* b;  // [rows, rank]
  const float* a;  // [rank, columns]
  void* out;       // of `to`: [rows, columns], or where `transposed` [columns, rows]; dense
  std::size_t rows;
  std::size_t columns;
  std::size_t rank;
  FloatType from;
  FloatType to;
  bool transposed;
};

// out = w + b a, summed in float and rounded once. `out` may be a dense `w` of its size of items,
// unless it is transposed; else they must not overlap.
void merge_low_rank(const KernelTable& table, ThreadPool& pool, const MergeLowRank& merge);

}  // namespace llm_kernels
