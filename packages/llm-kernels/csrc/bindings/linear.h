// Packing of checked NumPy arrays, for the linear op and for the decoder.
#pragma once

#include <array>

#include "bindings/arrays.h"
#include "llm_kernels/linear.h"

namespace llm_kernels::bindings {

// The InputForm of a kind's name; std::invalid_argument for a name that is none, and for a scale
// that is not positive where the kind needs one.
InputForm input_form(const std::string& kind, float scale);

PackedLinear pack_float32(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                          const OptionalArray& bias);
// weight: the bits of bfloat16, as uint16.
PackedLinear pack_bfloat16(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                           const OptionalArray& bias, const InputForm& inputs);
// codes: the bits of e4m3, as uint8.
PackedLinear pack_float8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                         const py::array& scales, const OptionalArray& bias,
                         const InputForm& inputs);
PackedLinear pack_int8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                       const py::array& scales, const OptionalArray& bias, const InputForm& inputs);
PackedLinear pack_int4(const KernelTable& table, ThreadPool& pool, const py::array& packed,
                       const py::array& scales, const OptionalArray& zeros,
                       const OptionalArray& bias, const InputForm& inputs);
// A weight that was packed before, in the arrays that LinearOp's `packed` gave; it reads them where
// they lie. `header`: format, rows, inputs, group.
PackedLinear pack_borrowed(const KernelTable& table, const std::array<std::size_t, 4>& header,
                           const py::array& codes, const OptionalArray& scales,
                           const OptionalArray& offsets, const OptionalArray& bias,
                           const InputForm& inputs);

}  // namespace llm_kernels::bindings
