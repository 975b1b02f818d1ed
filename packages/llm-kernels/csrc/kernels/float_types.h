// Floats of three types to and from the vector type of the including unit; what is stored is
// rounded to the nearest, halves to even, and what is no number stays none.
#pragma once

#include "bfloat16.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

struct Float32Type {
  using Item = float;
  static Vec load(const Item* p) { return LLM_KERNELS_UNIT::load(p); }
  static void store(Item* p, Vec a) { LLM_KERNELS_UNIT::store(p, a); }
};

#ifdef __AVX512F__

struct BFloat16Type {
  using Item = uint16_t;
  static Vec load(const Item* p) { return load_bfloat16(p); }
  static void store(Item* p, Vec a) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
    const __mmask16 none = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __m512i out = _mm512_mask_mov_epi32(_mm512_add_epi32(bits, up), none, quiet);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(out, 16)));
  }
};

struct Float16Type {
  using Item = uint16_t;
  static Vec load(const Item* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  static void store(Item* p, Vec a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

#else

// One number after the other without a branch, for a compiler to vectorise. AVX2 alone does not
// promise the instructions of F16C.

inline uint32_t word_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float from_word(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// Exponent and mantissa where float has them; 2^112 is the difference of the biases, by which a
// product makes subnormal numbers right as well.
inline float float_of_half(uint16_t half) {
  const uint32_t size = static_cast<uint32_t>(half & 0x7fff) << 13;
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t value = word_of(from_word(size) * 0x1p112f);
  return from_word(sign | (size >= 0x0f800000 ? size | 0x7f800000 : value));
}

inline uint16_t half_of(float x) {
  const uint32_t size = word_of(x) & 0x7fffffff;
  // Below 2^-14 the last place of a half is 2^-24, which is that of a float between 0.5 and 1.
  const uint32_t subnormal = word_of(from_word(size) + 0.5f) - 0x3f000000;
  const uint32_t normal = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
  uint32_t out = size < 0x38800000 ? subnormal : normal;
  out = size >= 0x47800000 ? 0x7c00 : out;
  out = size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x3ff) : out;
  return static_cast<uint16_t>(out | (word_of(x) >> 16 & 0x8000));
}

struct BFloat16Type {
  using Item = uint16_t;
  static Vec load(const Item* p) { return load_bfloat16(p); }
  static void store(Item* p, Vec a) {
// Emulated, a vector is not what the compiler's own registers would hold.
#if defined(__AVX2__) && !defined(LLM_KERNELS_EMULATE_AVX512)
    const __m256i bits = _mm256_castps_si256(a.v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const __m256i out = _mm256_srli_epi32(
        _mm256_blendv_epi8(_mm256_add_epi32(bits, up), quiet,
                           _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q))),
        16);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi32(_mm256_castsi256_si128(out), _mm256_extracti128_si256(out, 1)));
#else
    float x[kWidth];
    LLM_KERNELS_UNIT::store(x, a);
    for (size_t i = 0; i < kWidth; ++i) p[i] = bfloat16_of(x[i]);
#endif
  }
};

struct Float16Type {
  using Item = uint16_t;
  static Vec load(const Item* p) {
    float x[kWidth];
    for (size_t i = 0; i < kWidth; ++i) x[i] = float_of_half(p[i]);
    return LLM_KERNELS_UNIT::load(x);
  }
  static void store(Item* p, Vec a) {
    float x[kWidth];
    LLM_KERNELS_UNIT::store(x, a);
    for (size_t i = 0; i < kWidth; ++i) p[i] = half_of(x[i]);
  }
};

#endif

}  // namespace llm_kernels::LLM_KERNELS_UNIT
