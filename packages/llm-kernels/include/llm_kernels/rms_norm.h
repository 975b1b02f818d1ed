// y = x / sqrt(mean(x^2) + eps) * weight, row by row (Zhang and Sennrich, arXiv:1910.07467).
#pragma once

#include <cstddef>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// x, y: [rows, n], y may be x; weight: [n].
void rms_norm(const KernelTable& table, ThreadPool& pool, const float* x, const float* weight,
              float eps, std::size_t rows, std::size_t n, float* y);

}  // namespace llm_kernels
