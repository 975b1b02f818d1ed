// Packing of linear weights into panels.
#include <cstring>

#include "bfloat16.h"
#include "llm_kernels/linear.h"

namespace llm_kernels {
namespace {

// A word of eight nibbles, value + 8 each, to two's complement.
constexpr std::uint32_t kSignFlip = 0x88888888u;
constexpr float kMiddle = 8.0f;

// Bytes of the codes of `k` inputs in a panel.
std::size_t code_bytes(WeightFormat format, std::size_t panel_rows, std::size_t k) {
  switch (format) {
    case kFloat32:
      return k * panel_rows * sizeof(float);
    case kBFloat16:
      return k * panel_rows * sizeof(std::uint16_t);
    case kBFloat16Dot:
      return (k + 1) / 2 * 4 * panel_rows;
    case kInt8Dot:
      return (k + 3) / 4 * 4 * panel_rows;
    case kInt4:
    case kInt4Dot:
      return (k + 7) / 8 * 4 * panel_rows;
    default:
      return k * panel_rows;
  }
}

// Eight codes of four bits, the first lowest, as two quads: the first in the low nibbles.
std::uint32_t two_quads(std::uint32_t word) {
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    out |= ((word >> (4 * i)) & 15u) << (8 * i);
    out |= ((word >> (16 + 4 * i)) & 15u) << (8 * i + 4);
  }
  return out;
}

}  // namespace

PackedLinear::PackedLinear(const KernelTable& table, WeightFormat format, std::size_t n,
                           std::size_t k, std::size_t group, InputForm inputs)
    : format_(format), panel_rows_(table.panel_rows), n_(n), k_(k), group_(group), inputs_(inputs) {
  set_offset(table);
}

// Decoded to float, codes of four bits are signed around 8; in sums of products they stay unsigned.
void PackedLinear::set_offset(const KernelTable& table) {
  if (format_ == kInt8Dot) offset_ = static_cast<float>(-table.int8_bias);
  if (format_ == kInt4Dot) offset_ = -kMiddle;
}

PackedLinear PackedLinear::borrow(const KernelTable& table, const Packed& packed, std::size_t n,
                                  std::size_t k, std::size_t group, InputForm inputs) {
  PackedLinear weight(table, packed.format, n, k, group, inputs);
  weight.codes_ = borrow_buffer(packed.codes, weight.packed_bytes());
  if (packed.scales) weight.scales_ = borrow_buffer(packed.scales, weight.packed_scales());
  if (packed.offsets) weight.offsets_ = borrow_buffer(packed.offsets, weight.packed_scales());
  return weight;
}

void PackedLinear::allocate() { codes_ = make_buffer<std::uint8_t>(packed_bytes()); }

std::size_t PackedLinear::panel_bytes() const { return code_bytes(format_, panel_rows_, k_); }

std::size_t PackedLinear::bytes() const {
  const std::size_t per_group = panels() * panel_rows_ * groups() * sizeof(float);
  return panels() * panel_bytes() + (scales_ ? per_group : 0) + (offsets_ ? per_group : 0) +
         bias_.size() * sizeof(float);
}

const void* PackedLinear::codes(std::size_t panel, std::size_t k) const {
  return codes_.get() + panel * panel_bytes() + code_bytes(format_, panel_rows_, k);
}

const float* PackedLinear::scales(std::size_t panel) const {
  return scales_ ? scales_.get() + panel * groups() * panel_rows_ : nullptr;
}

const float* PackedLinear::offsets(std::size_t panel) const {
  return offsets_ ? offsets_.get() + panel * groups() * panel_rows_ : nullptr;
}

void PackedLinear::copy_row(std::size_t row, float* out) const {
  const void* panel = codes(row / panel_rows_, 0);
  const std::size_t first = row % panel_rows_;
  if (format_ == kFloat32) {
    const auto* from = static_cast<const float*>(panel) + first;
    for (std::size_t k = 0; k < k_; ++k) out[k] = from[k * panel_rows_];
    return;
  }
  const auto* from = static_cast<const std::uint16_t*>(panel);
  const bool pairs = format_ == kBFloat16Dot;
  for (std::size_t k = 0; k < k_; ++k) {
    const std::size_t at =
        pairs ? (k / 2 * panel_rows_ + first) * 2 + k % 2 : k * panel_rows_ + first;
    out[k] = float_of_bfloat16(from[at]);
  }
}

void PackedLinear::pack_scales(ThreadPool& pool, const float* scales, const std::uint8_t* zeros) {
  const std::size_t count = groups();
  scales_ = make_buffer<float>(panels() * panel_rows_ * count);
  if (zeros != nullptr) offsets_ = make_buffer<float>(panels() * panel_rows_ * count);
  const float middle = is_dot() ? 0.0f : kMiddle;  // of the codes as they are stored
  pool.run(panels(), [&](std::size_t panel, int) {
    const std::size_t first = panel * panel_rows_;
    for (std::size_t r = 0; r < panel_rows_ && first + r < n_; ++r) {
      for (std::size_t g = 0; g < count; ++g) {
        const std::size_t to = (panel * count + g) * panel_rows_ + r;
        const std::size_t from = (first + r) * count + g;
        scales_[to] = scales[from];
        if (zeros != nullptr) offsets_[to] = middle - static_cast<float>(zeros[from]);
      }
    }
  });
}

// One code an input, [k][row of panel].
template <class Code>
void PackedLinear::pack_plain(ThreadPool& pool, const Code* weight) {
  const std::size_t width = panel_rows_;
  pool.run(panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<Code*>(codes_.get() + panel * panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n_; ++r) {
      const Code* from = weight + (panel * width + r) * k_;
      for (std::size_t i = 0; i < k_; ++i) to[i * width + r] = from[i];
    }
  });
}

PackedLinear PackedLinear::float32(const KernelTable& table, ThreadPool& pool, const float* weight,
                                   std::size_t n, std::size_t k) {
  PackedLinear packed(table, kFloat32, n, k, k);
  packed.allocate();
  packed.pack_plain(pool, weight);
  return packed;
}

PackedLinear PackedLinear::bfloat16(const KernelTable& table, ThreadPool& pool,
                                    const std::uint16_t* weight, std::size_t n, std::size_t k,
                                    InputForm inputs) {
  const bool pairs = inputs.kind == InputKind::bfloat16 && table.bfloat16_products;
  PackedLinear packed(table, pairs ? kBFloat16Dot : kBFloat16, n, k, k, inputs);
  packed.allocate();
  if (pairs) {
    packed.pack_bfloat16_pairs(pool, weight);
  } else {
    packed.pack_plain(pool, weight);
  }
  return packed;
}

// Two inputs of a row side by side, [k / 2][row of panel][2].
void PackedLinear::pack_bfloat16_pairs(ThreadPool& pool, const std::uint16_t* weight) {
  const std::size_t width = panel_rows_;
  pool.run(panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<std::uint16_t*>(codes_.get() + panel * panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n_; ++r) {
      const std::uint16_t* from = weight + (panel * width + r) * k_;
      for (std::size_t i = 0; i < k_; ++i) to[(i / 2 * width + r) * 2 + i % 2] = from[i];
    }
  });
}

PackedLinear PackedLinear::float8(const KernelTable& table, ThreadPool& pool,
                                  const std::uint8_t* codes, const float* scales, std::size_t n,
                                  std::size_t k, std::size_t group, InputForm inputs) {
  PackedLinear packed(table, kFloat8, n, k, group, inputs);
  packed.allocate();
  packed.pack_plain(pool, codes);
  packed.pack_scales(pool, scales, nullptr);
  return packed;
}

PackedLinear PackedLinear::int8(const KernelTable& table, ThreadPool& pool,
                                const std::int8_t* codes, const float* scales, std::size_t n,
                                std::size_t k, std::size_t group, InputForm inputs) {
  PackedLinear packed(table, inputs.is_int8() ? kInt8Dot : kInt8, n, k, group, inputs);
  packed.allocate();
  if (packed.is_dot()) {
    packed.pack_int8_quads(pool, codes, table.int8_bias);
  } else {
    packed.pack_plain(pool, codes);
  }
  packed.pack_scales(pool, scales, nullptr);
  return packed;
}

// Four inputs of a row side by side, [k / 4][row of panel][4].
void PackedLinear::pack_int8_quads(ThreadPool& pool, const std::int8_t* codes, int bias) {
  const std::size_t width = panel_rows_;
  pool.run(panels(), [&](std::size_t panel, int) {
    std::uint8_t* to = codes_.get() + panel * panel_bytes();
    for (std::size_t r = 0; r < width && panel * width + r < n_; ++r) {
      const std::int8_t* from = codes + (panel * width + r) * k_;
      for (std::size_t i = 0; i < k_; ++i) {
        to[(i / 4 * width + r) * 4 + i % 4] = static_cast<std::uint8_t>(from[i] + bias);
      }
    }
  });
}

PackedLinear PackedLinear::int4(const KernelTable& table, ThreadPool& pool,
                                const std::uint8_t* codes, const float* scales,
                                const std::uint8_t* zeros, std::size_t n, std::size_t k,
                                std::size_t group, InputForm inputs) {
  PackedLinear packed(table, inputs.is_int8() ? kInt4Dot : kInt4, n, k, group, inputs);
  packed.allocate();
  const bool dot = packed.is_dot();
  const std::size_t width = packed.panel_rows_;
  const std::size_t row_bytes = k / 2;
  pool.run(packed.panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<std::uint32_t*>(packed.codes_.get() + panel * packed.panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n; ++r) {
      const std::uint8_t* from = codes + (panel * width + r) * row_bytes;
      for (std::size_t at = 0; at < row_bytes; at += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, from + at, row_bytes - at < 4 ? row_bytes - at : 4);
        to[at / 4 * width + r] = dot ? two_quads(word) : word ^ kSignFlip;
      }
    }
  });
  packed.pack_scales(pool, scales, zeros);
  return packed;
}

}  // namespace llm_kernels
