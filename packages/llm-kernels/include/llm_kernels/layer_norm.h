// y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, row by row (Ba et al., arXiv:1607.06450).
#pragma once

#include <cstddef>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// x, y: [rows, n], y may be x; weight: [n]; bias: [n] or null.
void layer_norm(const KernelTable& table, ThreadPool& pool, const float* x, const float* weight,
                const float* bias, float eps, std::size_t rows, std::size_t n, float* y);

}  // namespace llm_kernels
