// Activations of an MLP, plain or gated (Shazeer, arXiv:2002.05202).
#pragma once

#include <cstddef>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// y = activation(x), or activation(x) * up where `up` is not null; all [rows, n], y may be x or up.
void activation(const KernelTable& table, ThreadPool& pool, Activation kind, const float* x,
                const float* up, std::size_t rows, std::size_t n, float* y);

}  // namespace llm_kernels
