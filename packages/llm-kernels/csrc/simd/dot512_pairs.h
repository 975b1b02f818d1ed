// Sums of products of bytes where AVX-512 has no VNNI: pairs in 16 bits, folded into 32 now and
// then.
#pragma once

#include "simd/avx512.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr int kDotTileRows = 8;
constexpr int kDotSums = 8;  // of two registers each
constexpr int kInt8Bias = 0;
constexpr bool kBFloat16Products = false;

struct DotSum {
  __m512i pairs;
  __m512i total;
};
inline DotSum no_dot() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
// As in simd/avx2.h. Emulated vectors are no registers.
inline void in_order(__m512i& sum) {
#ifdef __AVX512BW__
  __asm__("" : "+v"(sum));
#else
  (void)sum;
#endif
}
// At most eight of these between folds: 8 * 2 * 15 * 127 fits 16 bits.
inline void dot_nibbles(DotSum& s, Bytes w, Bytes x) {
  s.pairs = _mm512_add_epi16(s.pairs, _mm512_maddubs_epi16(w.v, x.v));
  in_order(s.pairs);
}
inline void fold(DotSum& s) {
  s.total = _mm512_add_epi32(s.total, _mm512_madd_epi16(s.pairs, _mm512_set1_epi16(1)));
  s.pairs = _mm512_setzero_si512();
}
// The instruction takes one factor unsigned: |w| * (x with the sign of w). |-128| fits, unsigned.
struct Int8Codes {
  __mmask64 negative;
  __m512i size;
};
inline Int8Codes load_codes(const uint8_t* p) {
  const __m512i v = load_bytes(p).v;
  return {_mm512_movepi8_mask(v), _mm512_abs_epi8(v)};
}
inline void dot_int8(DotSum& s, Int8Codes w, Bytes x) {
  const __m512i turned = _mm512_mask_sub_epi8(x.v, w.negative, _mm512_setzero_si512(), x.v);
  const __m512i pairs = _mm512_maddubs_epi16(w.size, turned);
  s.total = _mm512_add_epi32(s.total, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  in_order(s.total);
}
inline Vec to_float(DotSum s) { return {_mm512_cvtepi32_ps(s.total)}; }

}  // namespace llm_kernels::LLM_KERNELS_UNIT
