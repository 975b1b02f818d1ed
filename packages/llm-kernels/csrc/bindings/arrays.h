// What a binding checks of an array before its pointer goes to C++: dtype, shape, layout.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/unlocked.h"

namespace llm_kernels::bindings {

namespace py = pybind11;

constexpr py::ssize_t kAny = -1;

using OptionalArray = std::optional<py::array>;

// std::invalid_argument, with a sentence, unless `array` is C-contiguous, of `dtype` and of
// `shape`, in which kAny stands for every length.
void check_array(const char* name, const py::array& array, const py::dtype& dtype,
                 const std::vector<py::ssize_t>& shape);

template <class T>
const T* checked(const char* name, const py::array& array, const std::vector<py::ssize_t>& shape) {
  check_array(name, array, py::dtype::of<T>(), shape);
  return static_cast<const T*>(array.data());
}

// Null where the array is None.
template <class T>
const T* checked(const char* name, const OptionalArray& array,
                 const std::vector<py::ssize_t>& shape) {
  return array ? checked<T>(name, *array, shape) : nullptr;
}

inline std::size_t length(const py::array& array, int axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

inline py::ssize_t signed_size(std::size_t n) { return static_cast<py::ssize_t>(n); }

void bind_ops(py::module_& m);
void bind_linear(py::module_& m);
void bind_merge_low_rank(py::module_& m);
void bind_paged_attention(py::module_& m);
void bind_decoder(py::module_& m);
void bind_decoder_cache(py::module_& m);
void bind_decoder_adapters(py::module_& m);

}  // namespace llm_kernels::bindings
