// Inputs of linears rounded to the floats that weights of few bits meet, over the vector type of
// the including unit. Every unit gives the same bits.
#pragma once

#include "kernels/float_types.h"
#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// See KernelTable::round_bfloat16.
void round_bfloat16(const float* x, size_t n, uint16_t* out) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) BFloat16Type::store(out + i, load(x + i));
  if (i == n) return;
  uint16_t last[kWidth];
  BFloat16Type::store(last, load_first(x + i, n - i));
  __builtin_memcpy(out + i, last, (n - i) * sizeof(uint16_t));
}

void widen_bfloat16(const uint16_t* x, size_t n, float* out) {
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(out + i, load_bfloat16(x + i));
  for (; i < n; ++i) out[i] = float_of_bfloat16(x[i]);
}

constexpr float kMostFloat8 = 448.0f;
constexpr float kLeastNormalFloat8 = 0x1p-6f;

// The nearest number of e4m3, halves to even, as OCP's 8-bit floating point says; saturating. The
// second operand of min and max is given where one is no number.
inline Vec nearest_float8(Vec x) {
  const Vec size = min(set(kMostFloat8), max(x, sub(zero(), x)));
  const Vec power = power_below(max(set(kLeastNormalFloat8), size));
  const Vec step = mul(power, set(0.125f));
  return copy_sign(mul(nearest(div(size, step)), step), x);
}

// See KernelTable::round_float8.
void round_float8(const float* x, size_t n, float scale, float* out) {
  float used = scale;
  if (scale == 0.0f) {
    Vec largest = zero();
    for (size_t i = 0; i < n; i += kWidth) {
      const Vec part = load_live(x + i, n - i < kWidth ? n - i : kWidth);
      largest = max(max(part, sub(zero(), part)), largest);
    }
    used = highest(largest) / kMostFloat8;
  }
  // A scale so small that it has no inverse stands for zeros.
  const Vec inverse = set(used > 1e-37f ? 1.0f / used : 0.0f);
  const Vec factor = set(used);
  size_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(out + i, mul(nearest_float8(mul(load(x + i), inverse)), factor));
  }
  if (i == n) return;
  const Vec last = mul(nearest_float8(mul(load_first(x + i, n - i), inverse)), factor);
  store_first(out + i, last, n - i);
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
