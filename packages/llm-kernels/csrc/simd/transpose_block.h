// Blocks of a transposition, for the units that have AVX2 (AVX-512 gains nothing on them: a block
// is bound by shuffles of one port, and by memory).
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace llm_kernels::LLM_KERNELS_UNIT {

// An 8 x 8 block of two-byte items, transposed: out[j][i] = in[i][j].
inline void transpose_block(const uint16_t* in, size_t in_stride, uint16_t* out,
                            size_t out_stride) {
  __m128i a[8];
  __m128i b[8];
  for (size_t i = 0; i < 8; ++i) {
    a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i * in_stride));
  }
  for (size_t i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
  for (size_t i = 0; i < 2; ++i) {
    a[4 * i] = _mm_unpacklo_epi32(b[4 * i], b[4 * i + 2]);
    a[4 * i + 1] = _mm_unpackhi_epi32(b[4 * i], b[4 * i + 2]);
    a[4 * i + 2] = _mm_unpacklo_epi32(b[4 * i + 1], b[4 * i + 3]);
    a[4 * i + 3] = _mm_unpackhi_epi32(b[4 * i + 1], b[4 * i + 3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    b[2 * i] = _mm_unpacklo_epi64(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi64(a[i], a[i + 4]);
  }
  for (size_t i = 0; i < 8; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i * out_stride), b[i]);
  }
}

// The same of four-byte items.
inline void transpose_block(const uint32_t* in, size_t in_stride, uint32_t* out,
                            size_t out_stride) {
  __m256i a[8];
  __m256i b[8];
  for (size_t i = 0; i < 8; ++i) {
    a[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i * in_stride));
  }
  for (size_t i = 0; i < 4; ++i) {
    b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
  }
  for (size_t i = 0; i < 2; ++i) {
    a[4 * i] = _mm256_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
    a[4 * i + 1] = _mm256_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
    a[4 * i + 2] = _mm256_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
    a[4 * i + 3] = _mm256_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
  }
  for (size_t i = 0; i < 4; ++i) {
    const __m256i low = _mm256_permute2x128_si256(a[i], a[i + 4], 0x20);
    const __m256i high = _mm256_permute2x128_si256(a[i], a[i + 4], 0x31);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i * out_stride), low);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (i + 4) * out_stride), high);
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
