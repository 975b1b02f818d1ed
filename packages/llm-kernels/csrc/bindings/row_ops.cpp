// Bindings of the ops that work row by row, and of the transposition.
#include "bindings/arrays.h"
#include "bindings/shared_pool.h"
#include "llm_kernels/activation.h"
#include "llm_kernels/isa.h"
#include "llm_kernels/layer_norm.h"
#include "llm_kernels/rms_norm.h"
#include "llm_kernels/rope.h"
#include "llm_kernels/transpose.h"

namespace llm_kernels::bindings {
namespace {

using Floats = py::array_t<float>;

Floats rms_norm_op(const py::array& x, const py::array& weight, float eps, const std::string& isa,
                   int threads) {
  const float* in = checked<float>("x", x, {kAny, kAny});
  const float* scale = checked<float>("weight", weight, {x.shape(1)});
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  Floats y({x.shape(0), x.shape(1)});
  float* out = y.mutable_data();
  const Unlocked nogil;
  rms_norm(table, pool, in, scale, eps, length(x, 0), length(x, 1), out);
  return y;
}

Floats layer_norm_op(const py::array& x, const py::array& weight, const OptionalArray& bias,
                     float eps, const std::string& isa, int threads) {
  const float* in = checked<float>("x", x, {kAny, kAny});
  const float* scale = checked<float>("weight", weight, {x.shape(1)});
  const float* shift = checked<float>("bias", bias, {x.shape(1)});
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  Floats y({x.shape(0), x.shape(1)});
  float* out = y.mutable_data();
  const Unlocked nogil;
  layer_norm(table, pool, in, scale, shift, eps, length(x, 0), length(x, 1), out);
  return y;
}

Floats activation_op(int kind, const py::array& x, const OptionalArray& up, const std::string& isa,
                     int threads) {
  const float* in = checked<float>("x", x, {kAny, kAny});
  const float* factor = checked<float>("up", up, {x.shape(0), x.shape(1)});
  if (kind < 0 || kind >= kActivations) throw std::invalid_argument("No such activation.");
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  Floats y({x.shape(0), x.shape(1)});
  float* out = y.mutable_data();
  const Unlocked nogil;
  activation(table, pool, static_cast<Activation>(kind), in, factor, length(x, 0), length(x, 1),
             out);
  return y;
}

Floats rope_op(const py::array& x, const py::array& cos, const py::array& sin, bool interleaved,
               const std::string& isa, int threads) {
  const float* in = checked<float>("x", x, {kAny, kAny, kAny});
  const float* cosines = checked<float>("cos", cos, {x.shape(0), kAny});
  const float* sines = checked<float>("sin", sin, {x.shape(0), cos.shape(1)});
  if (2 * cos.shape(1) > x.shape(2)) {
    throw std::invalid_argument("cos has " + std::to_string(cos.shape(1)) +
                                " columns, which rotate twice as many dimensions; the head has " +
                                std::to_string(x.shape(2)) + ".");
  }
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  Floats y({x.shape(0), x.shape(1), x.shape(2)});
  float* out = y.mutable_data();
  const std::size_t width = length(x, 1) * length(x, 2);
  const RopePairing pairing = interleaved ? RopePairing::interleaved : RopePairing::half;
  const RopeArguments arguments = {out,          cosines,      sines, length(x, 0),   width,
                                   length(x, 1), length(x, 2), 0,     length(cos, 1), pairing};
  const Unlocked nogil;
  std::copy(in, in + x.size(), out);
  rope(table, pool, arguments);
  return y;
}

template <class Item>
void transpose_op(const py::array& x, py::array out, const std::string& isa, int threads) {
  const bool rows_dense = x.ndim() == 2 && (x.strides(1) == sizeof(Item) || x.shape(1) < 2);
  const bool rows_apart = rows_dense && x.strides(0) >= 0 && x.strides(0) % sizeof(Item) == 0;
  if (!rows_apart || !x.dtype().equal(py::dtype::of<Item>())) {
    throw std::invalid_argument("x is not a matrix of items of that size with dense rows.");
  }
  checked<Item>("out", out, {x.shape(1), x.shape(0)});
  const auto* in = static_cast<const Item*>(x.data());
  auto* transposed = static_cast<Item*>(out.mutable_data());
  const std::size_t stride = static_cast<std::size_t>(x.strides(0)) / sizeof(Item);
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  const Unlocked nogil;
  transpose(table, pool, in, stride, length(x, 0), length(x, 1), transposed);
}

}  // namespace

void bind_ops(py::module_& m) {
  m.def("rms_norm", &rms_norm_op);
  m.def("layer_norm", &layer_norm_op);
  m.def("activation", &activation_op);
  m.def("rope", &rope_op);
  m.def("transpose16", &transpose_op<std::uint16_t>);
  m.def("transpose32", &transpose_op<std::uint32_t>);
}

}  // namespace llm_kernels::bindings
