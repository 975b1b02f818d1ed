// y = x W^T + b, with W packed once into panels for the instruction set that runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llm_kernels/buffer.h"
#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// How the inputs of a linear are rounded before they meet the weight.
enum class InputKind {
  exact,         // not at all
  int8_block,    // int8 with a scale for each segment (kDotSegment, or the weight's group) of a row
  int8_token,    // int8 with a scale a row
  int8_static,   // int8 with one scale that was calibrated
  float8_token,  // e4m3 with a scale a row
  float8_static,
  bfloat16,
};

struct InputForm {
  InputKind kind = InputKind::exact;
  float scale = 0.0f;  // of the static kinds: the float that code 1 stands for

  bool is_int8() const {
    return kind == InputKind::int8_block || kind == InputKind::int8_token ||
           kind == InputKind::int8_static;
  }
  bool operator==(const InputForm& other) const {
    return kind == other.kind && scale == other.scale;
  }
};

// A linear weight [N, K] in panels of table.panel_rows rows (see csrc/kernels/linear.h).
class PackedLinear {
 public:
  // weight: float [N, K].
  static PackedLinear float32(const KernelTable& table, ThreadPool& pool, const float* weight,
                              std::size_t n, std::size_t k);
  // weight: bfloat16 [N, K].
  static PackedLinear bfloat16(const KernelTable& table, ThreadPool& pool,
                               const std::uint16_t* weight, std::size_t n, std::size_t k,
                               InputForm inputs);
  // codes: e4m3 [N, K], all finite; scales: [N, K / group]; W = codes * scales.
  static PackedLinear float8(const KernelTable& table, ThreadPool& pool, const std::uint8_t* codes,
                             const float* scales, std::size_t n, std::size_t k, std::size_t group,
                             InputForm inputs);
  // codes: [N, K]; scales: [N, K / group]; W = codes * scales. A group is a multiple of 8, or K,
  // where inputs are int8.
  static PackedLinear int8(const KernelTable& table, ThreadPool& pool, const std::int8_t* codes,
                           const float* scales, std::size_t n, std::size_t k, std::size_t group,
                           InputForm inputs);
  // packed: [N, K / 2], low nibble first; scales, zeros: [N, K / group];
  // W = (nibble - zero) * scale, where zero is 8 when `zeros` is null.
  static PackedLinear int4(const KernelTable& table, ThreadPool& pool, const std::uint8_t* packed,
                           const float* scales, const std::uint8_t* zeros, std::size_t n,
                           std::size_t k, std::size_t group, InputForm inputs);

  // What was packed for this instruction set before: codes of packed_bytes(), scales and offsets as
  // long as packed_scales(), or null where the format has none. They must outlive the weight.
  struct Packed {
    WeightFormat format;
    const std::uint8_t* codes;
    const float* scales;
    const float* offsets;
  };
  static PackedLinear borrow(const KernelTable& table, const Packed& packed, std::size_t n,
                             std::size_t k, std::size_t group, InputForm inputs);

  void set_bias(const float* bias) { bias_.assign(bias, bias + n_); }

  std::size_t rows() const { return n_; }
  std::size_t inputs() const { return k_; }
  std::size_t group() const { return group_; }
  std::size_t panels() const { return (n_ + panel_rows_ - 1) / panel_rows_; }
  WeightFormat format() const { return format_; }
  bool is_dot() const { return format_ >= kFloatFormats; }
  const InputForm& inputs_form() const { return inputs_; }
  bool has_offsets() const { return offsets_ != nullptr; }
  // What to add to every code where there are no offsets.
  float offset() const { return offset_; }
  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }
  // Bytes held, padding included.
  std::size_t bytes() const;

  // Bytes of all codes, and floats of all scales; offsets are as many.
  std::size_t packed_bytes() const { return panels() * panel_bytes(); }
  std::size_t packed_scales() const { return panels() * panel_rows_ * groups(); }

  const void* codes(std::size_t panel, std::size_t k) const;
  const float* scales(std::size_t panel) const;
  const float* offsets(std::size_t panel) const;

  // Row `row` of a float32 or bfloat16 weight, to out[K].
  bool has_rows() const {
    return format_ == kFloat32 || format_ == kBFloat16 || format_ == kBFloat16Dot;
  }
  void copy_row(std::size_t row, float* out) const;

 private:
  PackedLinear(const KernelTable& table, WeightFormat format, std::size_t n, std::size_t k,
               std::size_t group, InputForm inputs = {});
  void set_offset(const KernelTable& table);
  void allocate();
  template <class Code>
  void pack_plain(ThreadPool& pool, const Code* weight);
  void pack_bfloat16_pairs(ThreadPool& pool, const std::uint16_t* weight);
  void pack_int8_quads(ThreadPool& pool, const std::int8_t* codes, int bias);
  std::size_t panel_bytes() const;
  std::size_t groups() const { return (k_ + group_ - 1) / group_; }
  void pack_scales(ThreadPool& pool, const float* scales, const std::uint8_t* zeros);

  WeightFormat format_;
  std::size_t panel_rows_;
  std::size_t n_;
  std::size_t k_;
  std::size_t group_;
  InputForm inputs_;
  float offset_ = 0.0f;
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

// The rows of x in a stripe, as the weights of one kind read them; see csrc/linear_inputs.h.
struct StripeInputs {
  const float* floats = nullptr;  // x where it is packed, or where it lies
  std::vector<float> x;
  std::vector<float> sums;
  GrowingBuffer<std::int8_t> codes;
  std::vector<float> scales;
};

// Scratch of linear(), kept between calls so that a step allocates little.
struct LinearScratch {
  std::vector<StripeInputs> inputs;              // one for each kind of part
  std::vector<GrowingBuffer<float>> expanded;    // one a thread
  std::vector<GrowingBuffer<std::int8_t>> rows;  // one a thread: a row of x, rounded
};

// Every part's y from x [rows, K] in one pass of the threads.
void linear(const KernelTable& table, ThreadPool& pool, LinearScratch& scratch, const float* x,
            std::size_t rows, const std::vector<LinearPart>& parts);

}  // namespace llm_kernels
