// Packing of linear weights into panels.
#include <cstring>

#include "llm_kernels/linear.h"

namespace llm_kernels {
namespace {

// A word of eight nibbles, value + 8 each, to two's complement.
constexpr std::uint32_t kSignFlip = 0x88888888u;

std::size_t code_bytes(WeightFormat format, std::size_t panel_rows, std::size_t k) {
  switch (format) {
    case kFloat32:
      return k * panel_rows * sizeof(float);
    case kInt8:
      return k * panel_rows;
    default:
      return (k + 7) / 8 * panel_rows * sizeof(std::uint32_t);
  }
}

}  // namespace

PackedLinear::PackedLinear(const KernelTable& table, WeightFormat format, std::size_t n,
                           std::size_t k, std::size_t group)
    : format_(format), panel_rows_(table.panel_rows), n_(n), k_(k), group_(group) {
  codes_ = make_buffer<std::uint8_t>(panels() * panel_bytes());
}

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
  const auto* panel = static_cast<const float*>(codes(row / panel_rows_, 0));
  for (std::size_t k = 0; k < k_; ++k) out[k] = panel[k * panel_rows_ + row % panel_rows_];
}

void PackedLinear::pack_scales(ThreadPool& pool, const float* scales, const std::uint8_t* zeros) {
  const std::size_t count = groups();
  scales_ = make_buffer<float>(panels() * panel_rows_ * count);
  if (zeros != nullptr) offsets_ = make_buffer<float>(panels() * panel_rows_ * count);
  pool.run(panels(), [&](std::size_t panel, int) {
    const std::size_t first = panel * panel_rows_;
    for (std::size_t r = 0; r < panel_rows_ && first + r < n_; ++r) {
      for (std::size_t g = 0; g < count; ++g) {
        const std::size_t to = (panel * count + g) * panel_rows_ + r;
        const std::size_t from = (first + r) * count + g;
        scales_[to] = scales[from];
        if (zeros != nullptr) offsets_[to] = 8.0f - static_cast<float>(zeros[from]);
      }
    }
  });
}

PackedLinear PackedLinear::float32(const KernelTable& table, ThreadPool& pool, const float* weight,
                                   std::size_t n, std::size_t k) {
  PackedLinear packed(table, kFloat32, n, k, k);
  const std::size_t width = packed.panel_rows_;
  pool.run(packed.panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<float*>(packed.codes_.get() + panel * packed.panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n; ++r) {
      const float* from = weight + (panel * width + r) * k;
      for (std::size_t i = 0; i < k; ++i) to[i * width + r] = from[i];
    }
  });
  return packed;
}

PackedLinear PackedLinear::int8(const KernelTable& table, ThreadPool& pool,
                                const std::int8_t* codes, const float* scales, std::size_t n,
                                std::size_t k, std::size_t group) {
  PackedLinear packed(table, kInt8, n, k, group);
  const std::size_t width = packed.panel_rows_;
  pool.run(packed.panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<std::int8_t*>(packed.codes_.get() + panel * packed.panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n; ++r) {
      const std::int8_t* from = codes + (panel * width + r) * k;
      for (std::size_t i = 0; i < k; ++i) to[i * width + r] = from[i];
    }
  });
  packed.pack_scales(pool, scales, nullptr);
  return packed;
}

PackedLinear PackedLinear::int4(const KernelTable& table, ThreadPool& pool,
                                const std::uint8_t* codes, const float* scales,
                                const std::uint8_t* zeros, std::size_t n, std::size_t k,
                                std::size_t group) {
  PackedLinear packed(table, kInt4, n, k, group);
  const std::size_t width = packed.panel_rows_;
  const std::size_t row_bytes = k / 2;
  pool.run(packed.panels(), [&](std::size_t panel, int) {
    auto* to = reinterpret_cast<std::uint32_t*>(packed.codes_.get() + panel * packed.panel_bytes());
    for (std::size_t r = 0; r < width && panel * width + r < n; ++r) {
      const std::uint8_t* from = codes + (panel * width + r) * row_bytes;
      for (std::size_t at = 0; at < row_bytes; at += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, from + at, row_bytes - at < 4 ? row_bytes - at : 4);
        to[at / 4 * width + r] = word ^ kSignFlip;
      }
    }
  });
  packed.pack_scales(pool, scales, zeros);
  return packed;
}

}  // namespace llm_kernels
