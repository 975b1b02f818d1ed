// AVX-512 on processors without it, through SIMDe, so that the units that need it can be tested
// anywhere: `cmake -DLLM_KERNELS_EMULATE_AVX512=ON`. Slow; never part of a wheel.
//
// What follows the include replaces intrinsics that SIMDe 0.7 lacks, or whose alias is wrong there.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

namespace llm_kernels::emulated {

template <class To, class From>
inline To bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

template <class Item, int Count>
struct Lanes {
  Item v[Count];
};
using Floats = Lanes<float, 16>;
using Words = Lanes<int32_t, 16>;
using Halves = Lanes<int16_t, 32>;

inline __m512i madd(__m512i a, __m512i b) {
  const auto x = bits<Halves>(a), y = bits<Halves>(b);
  Words out;
  for (int i = 0; i < 16; ++i) {
    out.v[i] = x.v[2 * i] * y.v[2 * i] + x.v[2 * i + 1] * y.v[2 * i + 1];
  }
  return bits<__m512i>(out);
}

inline __m512 load_some(__mmask16 mask, const void* p) {
  Floats out = {};
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) out.v[i] = static_cast<const float*>(p)[i];
  }
  return bits<__m512>(out);
}

inline void store_some(void* p, __mmask16 mask, __m512 a) {
  const auto x = bits<Floats>(a);
  for (int i = 0; i < 16; ++i) {
    if (mask >> i & 1) static_cast<float*>(p)[i] = x.v[i];
  }
}

inline float reduce_add(__m512 a) {
  auto x = bits<Floats>(a);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) x.v[i] += x.v[i + half];
  }
  return x.v[0];
}

inline float reduce_max(__m512 a) {
  const auto x = bits<Floats>(a);
  float most = x.v[0];
  for (int i = 1; i < 16; ++i) most = x.v[i] > most ? x.v[i] : most;
  return most;
}

inline __m512 to_float(__m512i a) {
  const auto x = bits<Words>(a);
  Floats out;
  for (int i = 0; i < 16; ++i) out.v[i] = static_cast<float>(x.v[i]);
  return bits<__m512>(out);
}

inline __m512i to_words(__m512 a) {
  const auto x = bits<Floats>(a);
  Words out;
  for (int i = 0; i < 16; ++i) out.v[i] = _mm_cvtss_si32(_mm_set_ss(x.v[i]));
  return bits<__m512i>(out);
}

template <class Item, class From>
inline __m512i widen(From a) {
  const auto x = bits<Lanes<Item, 16>>(a);
  Words out;
  for (int i = 0; i < 16; ++i) out.v[i] = x.v[i];
  return bits<__m512i>(out);
}

inline __m128i saturate(__m512i a) {
  const auto x = bits<Words>(a);
  Lanes<int8_t, 16> out;
  for (int i = 0; i < 16; ++i) {
    out.v[i] = static_cast<int8_t>(x.v[i] < -128 ? -128 : x.v[i] > 127 ? 127 : x.v[i]);
  }
  return bits<__m128i>(out);
}

// Four products of an unsigned and a signed byte a lane, added to s.
inline __m512i dpbusd(__m512i s, __m512i a, __m512i b) {
  auto out = bits<Words>(s);
  const auto x = bits<Lanes<uint8_t, 64>>(a);
  const auto y = bits<Lanes<int8_t, 64>>(b);
  for (int i = 0; i < 64; ++i) out.v[i / 4] += x.v[i] * y.v[i];
  return bits<__m512i>(out);
}

// Two products of bfloat16 a lane, added to s; the instruction rounds in another order.
template <class Pairs>
inline __m512 dpbf16(__m512 s, Pairs a, Pairs b) {
  auto out = bits<Floats>(s);
  const auto x = bits<Lanes<uint16_t, 32>>(a), y = bits<Lanes<uint16_t, 32>>(b);
  for (int i = 31; i >= 0; --i) {
    out.v[i / 2] += bits<float>(uint32_t{x.v[i]} << 16) * bits<float>(uint32_t{y.v[i]} << 16);
  }
  return bits<__m512>(out);
}

}  // namespace llm_kernels::emulated

#undef _mm512_madd_epi16
#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm512_reduce_add_ps
#undef _mm512_reduce_max_ps
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtsepi32_epi8
#undef _mm512_dpbusd_epi32
#undef _mm512_dpbf16_ps
#define _mm512_madd_epi16 llm_kernels::emulated::madd
#define _mm512_maskz_loadu_ps llm_kernels::emulated::load_some
#define _mm512_mask_storeu_ps llm_kernels::emulated::store_some
#define _mm512_reduce_add_ps llm_kernels::emulated::reduce_add
#define _mm512_reduce_max_ps llm_kernels::emulated::reduce_max
#define _mm512_cvtepi32_ps llm_kernels::emulated::to_float
#define _mm512_cvtps_epi32 llm_kernels::emulated::to_words
#define _mm512_cvtepi8_epi32 llm_kernels::emulated::widen<int8_t>
#define _mm512_cvtepu8_epi32 llm_kernels::emulated::widen<uint8_t>
#define _mm512_cvtepu16_epi32 llm_kernels::emulated::widen<uint16_t>
#define _mm512_cvtsepi32_epi8 llm_kernels::emulated::saturate
#define _mm512_dpbusd_epi32 llm_kernels::emulated::dpbusd
#define _mm512_dpbf16_ps llm_kernels::emulated::dpbf16
