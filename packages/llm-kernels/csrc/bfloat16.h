// One number to and from bfloat16. C types only and internal to each unit: see kernel_table.h.
#pragma once

#include <stdint.h>

namespace llm_kernels {

// x rounded, halves to even; what is no number stays none.
static inline uint16_t bfloat16_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
  const bool none = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<uint16_t>((none ? bits | 0x400000u : rounded) >> 16);
}

static inline float float_of_bfloat16(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace llm_kernels
