// The vector type of the units with AVX-512 (F, BW, VL, DQ).
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kWidth = 16;
constexpr int kTileRows = 6;
constexpr size_t kExpandBFloat16Rows = SIZE_MAX;
constexpr size_t kExpandFloat8Rows = SIZE_MAX;
constexpr size_t kExpandInt8Rows = SIZE_MAX;
constexpr size_t kExpandInt4Rows = SIZE_MAX;

struct Vec {
  __m512 v;
};

inline __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
inline Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec load_first(const float* p, size_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
inline void store_first(float* p, Vec a, size_t n) { _mm512_mask_storeu_ps(p, first(n), a.v); }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec zero() { return {_mm512_setzero_ps()}; }
inline Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec nearest(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a * 2^n for whole n.
inline Vec scale_by_power(Vec a, Vec n) { return {_mm512_scalef_ps(a.v, n.v)}; }
// a where x >= limit, else 0.
inline Vec where_at_least(Vec x, Vec limit, Vec a) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_GE_OQ), a.v)};
}
// a where x < 0, else b.
inline Vec where_negative(Vec x, Vec a, Vec b) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(x.v, _mm512_setzero_ps(), _CMP_LT_OQ), b.v, a.v)};
}
// The largest power of two that is not above a, which is positive and not subnormal.
inline Vec power_below(Vec a) {
  const __m512i exponent = _mm512_set1_epi32(0x7f800000);
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), exponent))};
}
// a, which is not negative, with the sign of s.
inline Vec copy_sign(Vec a, Vec s) {
  const __m512i sign = _mm512_castps_si512(_mm512_set1_ps(-0.0f));
  const __m512i taken = _mm512_and_si512(_mm512_castps_si512(s.v), sign);
  return {_mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a.v), taken))};
}
inline float sum(Vec a) { return _mm512_reduce_add_ps(a.v); }
inline float highest(Vec a) { return _mm512_reduce_max_ps(a.v); }

inline Vec load_int8(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}
inline Vec load_bfloat16(const uint16_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
// Exponent and mantissa of e4m3 where float has them; 2^120 is the difference of the biases.
inline Vec load_float8(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m512i code = _mm512_cvtepu8_epi32(bytes);
  const __m512i size = _mm512_slli_epi32(_mm512_and_si512(code, _mm512_set1_epi32(0x7f)), 20);
  const __m512i sign = _mm512_slli_epi32(_mm512_and_si512(code, _mm512_set1_epi32(0x80)), 24);
  const __m512 value = _mm512_mul_ps(_mm512_castsi512_ps(size), _mm512_set1_ps(0x1p120f));
  return {_mm512_or_ps(value, _mm512_castsi512_ps(sign))};
}
// Whole numbers from -128 to 127.
inline void store_int8(int8_t* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

// kWidth words of eight nibbles each, in two's complement.
struct Words {
  __m512i v;
};
inline Words load_words(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
inline Vec nibble(Words w, int j) {
  // The permutation reads the low four bits of each index only, so the higher nibbles need no mask.
  const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  return {_mm512_permutexvar_ps(_mm512_srli_epi32(w.v, static_cast<unsigned>(4 * j)), values)};
}

// Four bytes a lane.
struct Bytes {
  __m512i v;
};
inline Bytes load_bytes(const uint8_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store_bytes(uint8_t* p, Bytes b) { _mm512_storeu_si512(p, b.v); }
inline Bytes broadcast_quad(const int8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return {_mm512_set1_epi32(quad)};
}
inline Bytes low_nibbles(Bytes b) { return {_mm512_and_si512(b.v, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes b) {
  return {_mm512_and_si512(_mm512_srli_epi16(b.v, 4), _mm512_set1_epi8(15))};
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
