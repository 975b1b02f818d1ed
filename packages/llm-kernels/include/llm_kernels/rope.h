// Rotary position embedding in place (Su et al., arXiv:2104.09864).
#pragma once

#include <cstddef>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// Which two dimensions of a head rotate together: (i, i + pairs) or (2i, 2i + 1).
enum class RopePairing { half, interleaved };

struct RopeArguments {
  float* x;          // [rows, row_stride]; in a row `heads` heads of head_dim lie one after another
  const float* cos;  // [rows, pairs]
  const float* sin;  // [rows, pairs]
  std::size_t rows;
  std::size_t row_stride;
  std::size_t heads;
  std::size_t head_dim;
  std::size_t first;  // first dimension of the head that rotates
  std::size_t pairs;  // first + 2 * pairs <= head_dim; the other dimensions stay
  RopePairing pairing;
};

// The rows [begin, end) on the calling thread.
void rope_rows(const KernelTable& table, const RopeArguments& arguments, std::size_t begin,
               std::size_t end);

// Every row, on the pool's threads.
void rope(const KernelTable& table, ThreadPool& pool, const RopeArguments& arguments);

}  // namespace llm_kernels
