// Transposition of a matrix of two-byte or four-byte items, whatever they mean.
#pragma once

#include <cstddef>
#include <cstdint>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// out [columns, rows], dense, from in [rows, columns] whose rows are `stride` items apart.
void transpose(const KernelTable& table, ThreadPool& pool, const std::uint16_t* in,
               std::size_t stride, std::size_t rows, std::size_t columns, std::uint16_t* out);
void transpose(const KernelTable& table, ThreadPool& pool, const std::uint32_t* in,
               std::size_t stride, std::size_t rows, std::size_t columns, std::uint32_t* out);

}  // namespace llm_kernels
