// The vector type of the AVX2 + FMA unit.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace llm_kernels::avx2 {

constexpr size_t kWidth = 8;
constexpr int kTileRows = 3;
constexpr int kDotTileRows = 3;
constexpr int kDotSums = 6;  // of two registers each
constexpr int kInt8Bias = 0;
constexpr int kPairRows = 6;
constexpr size_t kPairsFromInt8 = 12;
constexpr size_t kPairsFromInt4 = SIZE_MAX;
constexpr bool kBFloat16Products = false;
constexpr size_t kExpandBFloat16Rows = 32;
constexpr size_t kExpandFloat8Rows = 8;
constexpr size_t kExpandInt8Rows = 24;
constexpr size_t kExpandInt4Rows = 16;

struct Vec {
  __m256 v;
};

inline __m256i first(size_t n) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
}
inline Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
inline Vec load_first(const float* p, size_t n) { return {_mm256_maskload_ps(p, first(n))}; }
inline void store_first(float* p, Vec a, size_t n) { _mm256_maskstore_ps(p, first(n), a.v); }
inline Vec set(float x) { return {_mm256_set1_ps(x)}; }
inline Vec zero() { return {_mm256_setzero_ps()}; }
inline Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec nearest(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a * 2^n for whole n, where neither a nor the result is subnormal.
inline Vec scale_by_power(Vec a, Vec n) {
  const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.v), exponent))};
}
// a where x >= limit, else 0.
inline Vec where_at_least(Vec x, Vec limit, Vec a) {
  return {_mm256_and_ps(_mm256_cmp_ps(x.v, limit.v, _CMP_GE_OQ), a.v)};
}
// a where x < 0, else b.
inline Vec where_negative(Vec x, Vec a, Vec b) { return {_mm256_blendv_ps(b.v, a.v, x.v)}; }
// The largest power of two that is not above a, which is positive and not subnormal.
inline Vec power_below(Vec a) {
  return {_mm256_and_ps(a.v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7f800000)))};
}
// a, which is not negative, with the sign of s.
inline Vec copy_sign(Vec a, Vec s) {
  return {_mm256_or_ps(a.v, _mm256_and_ps(s.v, _mm256_set1_ps(-0.0f)))};
}
inline float highest(Vec a) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}
inline float sum(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

inline Vec load_int8(const int8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))};
}
inline Vec load_bfloat16(const uint16_t* p) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}
// Exponent and mantissa of e4m3 where float has them; 2^120 is the difference of the biases.
inline Vec load_float8(const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m256i code = _mm256_cvtepu8_epi32(bytes);
  const __m256i size = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(0x7f)), 20);
  const __m256i sign = _mm256_slli_epi32(_mm256_and_si256(code, _mm256_set1_epi32(0x80)), 24);
  const __m256 value = _mm256_mul_ps(_mm256_castsi256_ps(size), _mm256_set1_ps(0x1p120f));
  return {_mm256_or_ps(value, _mm256_castsi256_ps(sign))};
}
// Whole numbers from -128 to 127.
inline void store_int8(int8_t* p, Vec a) {
  const __m256i words = _mm256_cvtps_epi32(a.v);
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
}

// kWidth words of eight nibbles each, in two's complement.
struct Words {
  __m256i v;
};
inline Words load_words(const uint32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline Vec nibble(Words w, int j) {
  return {_mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(w.v, 28 - 4 * j), 28))};
}

// Sums of products of bytes, four a lane: pairs in 16 bits, from time to time folded into 32.
struct Bytes {
  __m256i v;
};
struct DotSum {
  __m256i pairs;
  __m256i total;
};
inline DotSum no_dot() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline Bytes load_bytes(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline Bytes broadcast_quad(const int8_t* p) {
  int32_t quad;
  __builtin_memcpy(&quad, p, sizeof quad);
  return {_mm256_set1_epi32(quad)};
}
inline Bytes low_nibbles(Bytes b) { return {_mm256_and_si256(b.v, _mm256_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes b) {
  return {_mm256_and_si256(_mm256_srli_epi16(b.v, 4), _mm256_set1_epi8(15))};
}
// Sums stay in their registers, in the order they are written in: GCC would add products by twos
// first, and keep all of them in memory until then.
inline void in_order(__m256i& sum) { __asm__("" : "+x"(sum)); }
// At most eight of these between folds: 8 * 2 * 15 * 127 fits 16 bits.
inline void dot_nibbles(DotSum& s, Bytes w, Bytes x) {
  s.pairs = _mm256_add_epi16(s.pairs, _mm256_maddubs_epi16(w.v, x.v));
  in_order(s.pairs);
}
inline void fold(DotSum& s) {
  s.total = _mm256_add_epi32(s.total, _mm256_madd_epi16(s.pairs, _mm256_set1_epi16(1)));
  s.pairs = _mm256_setzero_si256();
}
// The instruction takes one factor unsigned: |w| * (x with the sign of w). |-128| fits, unsigned.
struct Int8Codes {
  __m256i v;
  __m256i size;
};
inline Int8Codes load_codes(const uint8_t* p) {
  const __m256i v = load_bytes(p).v;
  return {v, _mm256_abs_epi8(v)};
}
inline void dot_int8(DotSum& s, Int8Codes w, Bytes x) {
  const __m256i pairs = _mm256_maddubs_epi16(w.size, _mm256_sign_epi8(x.v, w.v));
  s.total = _mm256_add_epi32(s.total, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  in_order(s.total);
}
// Pairs of 16 bits; the sums stay in 32.
inline void dot_pairs(DotSum& s, Bytes w, Bytes x) {
  s.total = _mm256_add_epi32(s.total, _mm256_madd_epi16(w.v, x.v));
  in_order(s.total);
}
struct Pairs {
  Bytes first;
  Bytes second;
};
// Four signed bytes a lane: the first two of all lanes, and the last two, as 16 bits.
inline Pairs widen_quads(Bytes b) {
  const __m256 low = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm256_castsi256_si128(b.v)));
  const __m256 high = _mm256_castsi256_ps(_mm256_cvtepi8_epi16(_mm256_extracti128_si256(b.v, 1)));
  const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0)));
  const __m256i odd = _mm256_castps_si256(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));
  return {{_mm256_permute4x64_epi64(even, _MM_SHUFFLE(3, 1, 2, 0))},
          {_mm256_permute4x64_epi64(odd, _MM_SHUFFLE(3, 1, 2, 0))}};
}
inline void store_bytes(uint8_t* p, Bytes b) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), b.v);
}
inline Vec to_float(DotSum s) { return {_mm256_cvtepi32_ps(s.total)}; }

}  // namespace llm_kernels::avx2
