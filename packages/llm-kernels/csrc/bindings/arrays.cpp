#include "bindings/arrays.h"

#include <stdexcept>

namespace llm_kernels::bindings {
namespace {

std::string text(const std::vector<py::ssize_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    out += (i > 0 ? ", " : "") + (shape[i] == kAny ? "any" : std::to_string(shape[i]));
  }
  return out + "]";
}

}  // namespace

void check_array(const char* name, const py::array& array, const py::dtype& dtype,
                 const std::vector<py::ssize_t>& shape) {
  if (!array.dtype().is(dtype) && !array.dtype().equal(dtype)) {
    throw std::invalid_argument(std::string(name) + " has dtype " +
                                py::str(array.dtype()).cast<std::string>() + "; " +
                                py::str(dtype).cast<std::string>() + " is needed.");
  }
  const std::vector<py::ssize_t> found(array.shape(), array.shape() + array.ndim());
  bool fits = found.size() == shape.size();
  for (std::size_t i = 0; fits && i < shape.size(); ++i) {
    fits = shape[i] == kAny || shape[i] == found[i];
  }
  if (!fits) {
    throw std::invalid_argument(std::string(name) + " has shape " + text(found) + "; " +
                                text(shape) + " is needed.");
  }
  if (!(array.flags() & py::array::c_style)) {
    throw std::invalid_argument(std::string(name) +
                                " is not C-contiguous; pass numpy.ascontiguousarray of it.");
  }
}

}  // namespace llm_kernels::bindings
