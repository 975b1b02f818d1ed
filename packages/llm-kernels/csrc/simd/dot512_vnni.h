// Sums of products of bytes with VNNI, and of pairs of bfloat16, one instruction a vector each.
#pragma once

#include "simd/avx512.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr int kDotTileRows = 6;
constexpr int kDotSums = 24;
// The instruction takes one factor unsigned: codes are stored with 128 added, which the sums of the
// inputs take away again.
constexpr int kInt8Bias = 128;
constexpr bool kBFloat16Products = true;

struct DotSum {
  __m512i total;
};
inline DotSum no_dot() { return {_mm512_setzero_si512()}; }
inline void dot_nibbles(DotSum& s, Bytes w, Bytes x) {
  s.total = _mm512_dpbusd_epi32(s.total, w.v, x.v);
}
inline void fold(DotSum&) {}
using Int8Codes = Bytes;
inline Int8Codes load_codes(const uint8_t* p) { return load_bytes(p); }
inline void dot_int8(DotSum& s, Int8Codes w, Bytes x) {
  s.total = _mm512_dpbusd_epi32(s.total, w.v, x.v);
}
inline Vec to_float(DotSum s) { return {_mm512_cvtepi32_ps(s.total)}; }

// acc + the products of pairs of bfloat16 in w and x; halves are rounded to even, tiny numbers are
// zeros.
inline Vec dot_bfloat16(Vec acc, Bytes w, Bytes x) {
  return {_mm512_dpbf16_ps(acc.v, (__m512bh)w.v, (__m512bh)x.v)};
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
