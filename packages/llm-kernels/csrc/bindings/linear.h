// Packing of checked NumPy arrays, for the linear op and for the decoder.
#pragma once

#include "bindings/arrays.h"
#include "llm_kernels/linear.h"

namespace llm_kernels::bindings {

PackedLinear pack_float32(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                          const OptionalArray& bias);
PackedLinear pack_int8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                       const py::array& scales, const OptionalArray& bias);
PackedLinear pack_int4(const KernelTable& table, ThreadPool& pool, const py::array& packed,
                       const py::array& scales, const OptionalArray& zeros,
                       const OptionalArray& bias);

}  // namespace llm_kernels::bindings
