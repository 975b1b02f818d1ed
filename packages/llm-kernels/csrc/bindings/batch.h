// The sequences of a step from checked NumPy arrays, for paged_attention and for the decoder.
#pragma once

#include "bindings/arrays.h"
#include "llm_kernels/paged_attention.h"

namespace llm_kernels::bindings {

SequenceBatch sequence_batch(const py::array& query_start, const py::array& context_length,
                             const py::array& block_tables, const OptionalArray& prefix_length);

// std::invalid_argument unless the kernels can work with blocks of that size.
void check_block_size(std::size_t block_size);

}  // namespace llm_kernels::bindings
