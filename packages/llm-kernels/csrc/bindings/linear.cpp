#include "bindings/linear.h"

#include <cmath>
#include <stdexcept>
#include <utility>

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

void check_whole_octets(const char* who, std::size_t group, std::size_t inputs) {
  if (group == inputs || group % 8 == 0) return;
  throw std::invalid_argument("Groups of " + std::to_string(group) + " inputs were asked for; " +
                              who + " multiples of 8, or one group a row.");
}

// A packed weight together with the instruction set that it is packed for.
struct LinearOp {
  Isa isa;
  PackedLinear weight;
};

py::array_t<float> apply(const LinearOp& op, const py::array& x, int threads) {
  const float* in = checked<float>("x", x, {kAny, signed_size(op.weight.inputs())});
  ThreadPool pool = shared_pool(threads);
  py::array_t<float> y({x.shape(0), signed_size(op.weight.rows())});
  float* out = y.mutable_data();
  const std::size_t rows = length(x, 0);
  const Unlocked nogil;
  LinearScratch scratch;
  linear(kernel_table(op.isa), pool, scratch, in, rows, {{&op.weight, out, op.weight.rows()}});
  return y;
}

}  // namespace

InputForm input_form(const std::string& kind, float scale) {
  const std::pair<const char*, InputKind> kinds[] = {
      {"exact", InputKind::exact},
      {"int8_block", InputKind::int8_block},
      {"int8_token", InputKind::int8_token},
      {"int8_static", InputKind::int8_static},
      {"float8_token", InputKind::float8_token},
      {"float8_static", InputKind::float8_static},
      {"bfloat16", InputKind::bfloat16},
  };
  for (const auto& [name, known] : kinds) {
    if (kind != name) continue;
    const bool fixed = known == InputKind::int8_static || known == InputKind::float8_static;
    if (fixed && !(scale > 0.0f && std::isfinite(scale))) {
      throw std::invalid_argument("The scale of " + kind + " inputs is " + std::to_string(scale) +
                                  "; it must be a positive number.");
    }
    return {known, fixed ? scale : 0.0f};
  }
  throw std::invalid_argument("There is no kind of inputs '" + kind + "'.");
}

PackedLinear pack_float32(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                          const OptionalArray& bias) {
  const float* data = checked<float>("weight", weight, {kAny, kAny});
  check_not_empty(weight);
  const float* shift = checked<float>("bias", bias, {weight.shape(0)});
  const std::size_t rows = length(weight, 0), inputs = length(weight, 1);
  const Unlocked nogil;
  return with_bias(PackedLinear::float32(table, pool, data, rows, inputs), shift);
}

PackedLinear pack_bfloat16(const KernelTable& table, ThreadPool& pool, const py::array& weight,
                           const OptionalArray& bias, const InputForm& form) {
  const auto* data = checked<std::uint16_t>("weight", weight, {kAny, kAny});
  check_not_empty(weight);
  const float* shift = checked<float>("bias", bias, {weight.shape(0)});
  const std::size_t rows = length(weight, 0), inputs = length(weight, 1);
  const Unlocked nogil;
  return with_bias(PackedLinear::bfloat16(table, pool, data, rows, inputs, form), shift);
}

PackedLinear pack_float8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                         const py::array& scales, const OptionalArray& bias,
                         const InputForm& form) {
  const auto* data = checked<std::uint8_t>("codes", codes, {kAny, kAny});
  check_not_empty(codes);
  const float* factors = checked<float>("scales", scales, {codes.shape(0), kAny});
  const float* shift = checked<float>("bias", bias, {codes.shape(0)});
  const std::size_t rows = length(codes, 0), inputs = length(codes, 1);
  const std::size_t group = group_of(inputs, scales);
  if (form.is_int8()) {
    throw std::invalid_argument("A float8 weight meets float inputs, exact or rounded to float8.");
  }
  const Unlocked nogil;
  return with_bias(PackedLinear::float8(table, pool, data, factors, rows, inputs, group, form),
                   shift);
}

PackedLinear pack_int8(const KernelTable& table, ThreadPool& pool, const py::array& codes,
                       const py::array& scales, const OptionalArray& bias, const InputForm& form) {
  const auto* data = checked<std::int8_t>("codes", codes, {kAny, kAny});
  check_not_empty(codes);
  const float* factors = checked<float>("scales", scales, {codes.shape(0), kAny});
  const float* shift = checked<float>("bias", bias, {codes.shape(0)});
  const std::size_t rows = length(codes, 0), inputs = length(codes, 1);
  const std::size_t group = group_of(inputs, scales);
  if (form.is_int8()) check_whole_octets("int8 inputs take", group, inputs);
  const Unlocked nogil;
  return with_bias(PackedLinear::int8(table, pool, data, factors, rows, inputs, group, form),
                   shift);
}

PackedLinear pack_int4(const KernelTable& table, ThreadPool& pool, const py::array& packed,
                       const py::array& scales, const OptionalArray& zeros,
                       const OptionalArray& bias, const InputForm& form) {
  const auto* data = checked<std::uint8_t>("packed", packed, {kAny, kAny});
  check_not_empty(packed);
  const float* factors = checked<float>("scales", scales, {packed.shape(0), kAny});
  const auto* offsets = checked<std::uint8_t>("zeros", zeros, {packed.shape(0), scales.shape(1)});
  const float* shift = checked<float>("bias", bias, {packed.shape(0)});
  const std::size_t rows = length(packed, 0), inputs = 2 * length(packed, 1);
  const std::size_t group = group_of(inputs, scales);
  check_whole_octets("int4 takes", group, inputs);
  const Unlocked nogil;
  return with_bias(
      PackedLinear::int4(table, pool, data, factors, offsets, rows, inputs, group, form), shift);
}

PackedLinear pack_borrowed(const KernelTable& table, const std::array<std::size_t, 4>& header,
                           const py::array& codes, const OptionalArray& scales,
                           const OptionalArray& offsets, const OptionalArray& bias,
                           const InputForm& form) {
  const auto [format, rows, inputs, group] = header;
  const bool known = format < kWeightFormats && (format != kBFloat16Dot || table.bfloat16_products);
  if (!known || rows == 0 || inputs == 0 || group == 0 || inputs % group != 0) {
    throw std::invalid_argument("The header of a packed weight holds what no weight has here.");
  }
  PackedLinear::Packed packed = {static_cast<WeightFormat>(format), nullptr, nullptr, nullptr};
  // Sizes first, of a weight without memory; then the arrays against them.
  const PackedLinear empty = PackedLinear::borrow(table, packed, rows, inputs, group, form);
  packed.codes = checked<std::uint8_t>("codes", codes, {signed_size(empty.packed_bytes())});
  const py::ssize_t factors = signed_size(empty.packed_scales());
  packed.scales = checked<float>("scales", scales, {factors});
  packed.offsets = checked<float>("offsets", offsets, {factors});
  const bool scaled = format != kFloat32 && format != kBFloat16 && format != kBFloat16Dot;
  if (scaled != (packed.scales != nullptr)) {
    throw std::invalid_argument("A packed weight has scales exactly where its format needs them.");
  }
  const float* shift = checked<float>("bias", bias, {signed_size(rows)});
  return with_bias(PackedLinear::borrow(table, packed, rows, inputs, group, form), shift);
}

// The arrays of a packed weight, as pack_borrowed takes them; copies.
py::tuple packed_arrays(const LinearOp& op) {
  const PackedLinear& weight = op.weight;
  const auto floats = [&](const float* data) -> py::object {
    if (data == nullptr) return py::none();
    return py::array_t<float>(signed_size(weight.packed_scales()), data);
  };
  const std::array<std::size_t, 4> header = {weight.format(), weight.rows(), weight.inputs(),
                                             weight.group()};
  return py::make_tuple(
      header,
      py::array_t<std::uint8_t>(signed_size(weight.packed_bytes()),
                                static_cast<const std::uint8_t*>(weight.codes(0, 0))),
      floats(weight.scales(0)), floats(weight.offsets(0)));
}

void bind_linear(py::module_& m) {
  using Array = const py::array&;
  using Optional = const OptionalArray&;
  using Name = const std::string&;
  const auto op = [](Name isa, int threads, const auto& pack) {
    const Isa level = isa_from_name(isa);
    ThreadPool pool = shared_pool(threads);
    return LinearOp{level, pack(kernel_table(level), pool)};
  };
  py::class_<LinearOp>(m, "PackedLinear")
      .def_static("float32",
                  [op](Array weight, Optional bias, Name isa, int threads) {
                    return op(isa, threads, [&](const KernelTable& table, ThreadPool& pool) {
                      return pack_float32(table, pool, weight, bias);
                    });
                  })
      .def_static("bfloat16",
                  [op](Array weight, Optional bias, Name kind, float scale, Name isa, int threads) {
                    const InputForm form = input_form(kind, scale);
                    return op(isa, threads, [&](const KernelTable& table, ThreadPool& pool) {
                      return pack_bfloat16(table, pool, weight, bias, form);
                    });
                  })
      .def_static("float8",
                  [op](Array codes, Array scales, Optional bias, Name kind, float scale, Name isa,
                       int threads) {
                    const InputForm form = input_form(kind, scale);
                    return op(isa, threads, [&](const KernelTable& table, ThreadPool& pool) {
                      return pack_float8(table, pool, codes, scales, bias, form);
                    });
                  })
      .def_static("int8",
                  [op](Array codes, Array scales, Optional bias, Name kind, float scale, Name isa,
                       int threads) {
                    const InputForm form = input_form(kind, scale);
                    return op(isa, threads, [&](const KernelTable& table, ThreadPool& pool) {
                      return pack_int8(table, pool, codes, scales, bias, form);
                    });
                  })
      .def_static("int4",
                  [op](Array packed, Array scales, Optional zeros, Optional bias, Name kind,
                       float scale, Name isa, int threads) {
                    const InputForm form = input_form(kind, scale);
                    return op(isa, threads, [&](const KernelTable& table, ThreadPool& pool) {
                      return pack_int4(table, pool, packed, scales, zeros, bias, form);
                    });
                  })
      .def_static(
          "borrowed",
          [op](const std::array<std::size_t, 4>& header, Array codes, Optional scales,
               Optional offsets, Optional bias, Name kind, float scale, Name isa, int threads) {
            const InputForm form = input_form(kind, scale);
            return op(isa, threads, [&](const KernelTable& table, ThreadPool&) {
              return pack_borrowed(table, header, codes, scales, offsets, bias, form);
            });
          },
          py::keep_alive<0, 2>(), py::keep_alive<0, 3>(), py::keep_alive<0, 4>())
      .def("packed", &packed_arrays)
      .def("__call__", &apply)
      .def_property_readonly("isa", [](const LinearOp& self) { return isa_name(self.isa); })
      .def_property_readonly("nbytes", [](const LinearOp& self) { return self.weight.bytes(); })
      .def_property_readonly("shape", [](const LinearOp& self) {
        return std::make_pair(self.weight.rows(), self.weight.inputs());
      });
}

}  // namespace llm_kernels::bindings
