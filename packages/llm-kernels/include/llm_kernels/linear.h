// y = x W^T + b, with W packed once into panels for the instruction set that runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llm_kernels/buffer.h"
#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// A linear weight [N, K] in panels of table.panel_rows rows (see csrc/kernels/linear.h).
class PackedLinear {
 public:
  // weight: float [N, K].
  static PackedLinear float32(const KernelTable& table, ThreadPool& pool, const float* weight,
                              std::size_t n, std::size_t k);
  // codes: [N, K]; scales: [N, K / group]; W = codes * scales.
  static PackedLinear int8(const KernelTable& table, ThreadPool& pool, const std::int8_t* codes,
                           const float* scales, std::size_t n, std::size_t k, std::size_t group);
  // packed: [N, K / 2], low nibble first; scales, zeros: [N, K / group];
  // W = (nibble - zero) * scale, where zero is 8 when `zeros` is null.
  static PackedLinear int4(const KernelTable& table, ThreadPool& pool, const std::uint8_t* packed,
                           const float* scales, const std::uint8_t* zeros, std::size_t n,
                           std::size_t k, std::size_t group);

  void set_bias(const float* bias) { bias_.assign(bias, bias + n_); }

  std::size_t rows() const { return n_; }
  std::size_t inputs() const { return k_; }
  std::size_t group() const { return group_; }
  std::size_t panels() const { return (n_ + panel_rows_ - 1) / panel_rows_; }
  WeightFormat format() const { return format_; }
  bool has_offsets() const { return offsets_ != nullptr; }
  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }
  // Bytes held, padding included.
  std::size_t bytes() const;

  const void* codes(std::size_t panel, std::size_t k) const;
  const float* scales(std::size_t panel) const;
  const float* offsets(std::size_t panel) const;

  // Row `row` of a float32 weight, to out[K].
  void copy_row(std::size_t row, float* out) const;

 private:
  PackedLinear(const KernelTable& table, WeightFormat format, std::size_t n, std::size_t k,
               std::size_t group);
  std::size_t panel_bytes() const;
  std::size_t groups() const { return (k_ + group_ - 1) / group_; }
  void pack_scales(ThreadPool& pool, const float* scales, const std::uint8_t* zeros);

  WeightFormat format_;
  std::size_t panel_rows_;
  std::size_t n_;
  std::size_t k_;
  std::size_t group_;
  Buffer<std::uint8_t> codes_;
  Buffer<float> scales_;
  Buffer<float> offsets_;
  std::vector<float> bias_;
};

// One weight of a set that reads the same x.
struct LinearPart {
  const PackedLinear* weight;
  float* y;  // [rows, y_stride]
  std::size_t y_stride;
  bool accumulate = false;  // y += instead of y =
};

// Scratch of linear(), kept between calls so that a step allocates nothing.
struct LinearScratch {
  std::vector<float> x;
  std::vector<std::vector<float>> sums;      // one a part
  std::vector<std::vector<float>> expanded;  // one a thread
};

// Every part's y from x [rows, K] in one pass of the threads.
void linear(const KernelTable& table, ThreadPool& pool, LinearScratch& scratch, const float* x,
            std::size_t rows, const std::vector<LinearPart>& parts);

}  // namespace llm_kernels
