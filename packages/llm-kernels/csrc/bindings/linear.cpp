#include "bindings/linear.h"

#include <stdexcept>

#include "bindings/shared_pool.h"
#include "llm_kernels/isa.h"

namespace llm_kernels::bindings {
namespace {

// Inputs a scale is shared by: all of them over the columns of `scales`, which must come out whole.
std::size_t group_of(std::size_t inputs, const py::array& scales) {
  const std::size_t groups = length(scales, 1);
  if (groups == 0 || inputs % groups != 0) {
    throw std::invalid_argument("scales has " + std::to_string(groups) +
                                " columns, which do not divide the weight's " +
                                std::to_string(inputs) + " inputs into groups.");
  }
  return inputs / groups;
}

PackedLinear with_bias(PackedLinear weight, const float* bias) {
  if (bias != nullptr) weight.set_bias(bias);
  return weight;
}

void check_not_empty(const py::array& weight) {
  if (weight.size() == 0) throw std::invalid_argument("The weight has no entries.");
}

// A packed weight together with the instruction set that it is packed for.
struct LinearOp {
  Isa isa;
  PackedLinear weight;
};

py::array_t<float> apply(const LinearOp& op, const py::array& x, int threads) {
  const float* in = checked<float>("x", x, {kAny, signed_size(op.weight.inputs())});
  ThreadPool& pool = shared_pool(threads);
  py::array_t<float> y({x.shape(0), signed_size(op.weight.rows())});
  float* out = y.mutable_data();
  const std::size_t rows = length(x, 0);
  const Unlocked nogil;
  LinearScratch scratch;
  linear(kernel_table(op.isa), pool, scratch, in, rows, {{&op.weight, out, op.weight.rows()}});
  return y;
}

}  // namespace

PackedLinear pack_float32(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                          const OptionalArray& bias) {
  const float* data = checked<float>("weight", weight, {kAny, kAny});
  check_not_empty(weight);
  const float* shift = checked<float>("bias", bias, {weight.shape(0)});
  const std::size_t rows = length(weight, 0), inputs = length(weight, 1);
  const Unlocked nogil;
  return with_bias(PackedLinear::float32(table, pool, data, rows, inputs), shift);
}

PackedLinear pack_int8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                       const py::array& scales, const OptionalArray& bias) {
  const auto* data = checked<std::int8_t>("codes", codes, {kAny, kAny});
  check_not_empty(codes);
  const float* factors = checked<float>("scales", scales, {codes.shape(0), kAny});
  const float* shift = checked<float>("bias", bias, {codes.shape(0)});
  const std::size_t rows = length(codes, 0), inputs = length(codes, 1);
  const std::size_t group = group_of(inputs, scales);
  const Unlocked nogil;
  return with_bias(PackedLinear::int8(table, pool, data, factors, rows, inputs, group), shift);
}

PackedLinear pack_int4(const KernelTable& table, ThreadPool& pool, const py::array& packed,
                       const py::array& scales, const OptionalArray& zeros,
                       const OptionalArray& bias) {
  const auto* data = checked<std::uint8_t>("packed", packed, {kAny, kAny});
  check_not_empty(packed);
  const float* factors = checked<float>("scales", scales, {packed.shape(0), kAny});
  const auto* offsets = checked<std::uint8_t>("zeros", zeros, {packed.shape(0), scales.shape(1)});
  const float* shift = checked<float>("bias", bias, {packed.shape(0)});
  const std::size_t rows = length(packed, 0), inputs = 2 * length(packed, 1);
  const std::size_t group = group_of(inputs, scales);
  if (group != inputs && group % 8 != 0) {
    throw std::invalid_argument("Groups of " + std::to_string(group) +
                                " inputs were asked for; int4 takes multiples of 8, or one group "
                                "a row.");
  }
  const Unlocked nogil;
  return with_bias(PackedLinear::int4(table, pool, data, factors, offsets, rows, inputs, group),
                   shift);
}

void bind_linear(py::module_& m) {
  py::class_<LinearOp>(m, "PackedLinear")
      .def_static("float32",
                  [](const py::array& weight, const OptionalArray& bias, const std::string& name,
                     int threads) {
                    const Isa isa = isa_from_name(name);
                    return LinearOp{
                        isa, pack_float32(kernel_table(isa), shared_pool(threads), weight, bias)};
                  })
      .def_static("int8",
                  [](const py::array& codes, const py::array& scales, const OptionalArray& bias,
                     const std::string& name, int threads) {
                    const Isa isa = isa_from_name(name);
                    return LinearOp{isa, pack_int8(kernel_table(isa), shared_pool(threads), codes,
                                                   scales, bias)};
                  })
      .def_static("int4",
                  [](const py::array& packed, const py::array& scales, const OptionalArray& zeros,
                     const OptionalArray& bias, const std::string& name, int threads) {
                    const Isa isa = isa_from_name(name);
                    return LinearOp{isa, pack_int4(kernel_table(isa), shared_pool(threads), packed,
                                                   scales, zeros, bias)};
                  })
      .def("__call__", &apply)
      .def_property_readonly("isa", [](const LinearOp& op) { return isa_name(op.isa); })
      .def_property_readonly("nbytes", [](const LinearOp& op) { return op.weight.bytes(); })
      .def_property_readonly("shape", [](const LinearOp& op) {
        return std::make_pair(op.weight.rows(), op.weight.inputs());
      });
}

}  // namespace llm_kernels::bindings
