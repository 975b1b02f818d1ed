// Binding of the sum of a weight and a product of low rank.
#include "llm_kernels/merge_low_rank.h"

#include "bindings/arrays.h"
#include "bindings/shared_pool.h"
#include "llm_kernels/isa.h"

namespace llm_kernels::bindings {
namespace {

FloatType float_type(const std::string& name) {
  if (name == "float32") return kTypeFloat32;
  if (name == "bfloat16") return kTypeBFloat16;
  if (name == "float16") return kTypeFloat16;
  throw std::invalid_argument("The type " + name +
                              " is not merged; float32, bfloat16 and float16 are.");
}

py::dtype items_of(FloatType type) {
  return type == kTypeFloat32 ? py::dtype::of<float>() : py::dtype::of<std::uint16_t>();
}

// Items from a row of w to the next.
std::size_t row_stride(const py::array& w, FloatType type) {
  const py::ssize_t size = type == kTypeFloat32 ? 4 : 2;
  const bool rows_dense = w.ndim() == 2 && (w.strides(1) == size || w.shape(1) < 2);
  if (!rows_dense || w.strides(0) < 0 || w.strides(0) % size != 0 ||
      !w.dtype().equal(items_of(type))) {
    throw std::invalid_argument("w is not a matrix of that type with dense rows.");
  }
  return static_cast<std::size_t>(w.strides(0) / size);
}

// Arrays of two-byte types come as their bits.
void merge_low_rank_op(const py::array& w, const std::string& from, const py::array& b,
                       const py::array& a, py::array out, const std::string& to, bool transposed,
                       const std::string& isa, int threads) {
  const FloatType read = float_type(from), written = float_type(to);
  const std::size_t stride = row_stride(w, read);
  const float* left = checked<float>("b", b, {w.shape(0), kAny});
  const float* right = checked<float>("a", a, {b.shape(1), w.shape(1)});
  const py::ssize_t rows = w.shape(0), columns = w.shape(1);
  check_array("out", out, items_of(written),
              {transposed ? columns : rows, transposed ? rows : columns});
  const MergeLowRank merge = {w.data(),     stride,       left,         right, out.mutable_data(),
                              length(w, 0), length(w, 1), length(b, 1), read,  written,
                              transposed};
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  const Unlocked nogil;
  merge_low_rank(table, pool, merge);
}

}  // namespace

void bind_merge_low_rank(py::module_& m) { m.def("merge_low_rank", &merge_low_rank_op); }

}  // namespace llm_kernels::bindings
