// The vector type of the portable unit: four lanes in plain C++, for a compiler to vectorise.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bfloat16.h"

namespace llm_kernels::scalar {

constexpr size_t kWidth = 4;
constexpr int kTileRows = 2;
constexpr int kDotTileRows = 2;
constexpr int kDotSums = 4;
constexpr int kInt8Bias = 0;
constexpr bool kBFloat16Products = false;
constexpr size_t kExpandBFloat16Rows = 16;
constexpr size_t kExpandFloat8Rows = 16;
constexpr size_t kExpandInt8Rows = 16;
constexpr size_t kExpandInt4Rows = 16;

struct Vec {
  float v[kWidth];
};

template <class Function>
inline Vec each(Function function) {
  Vec out;
  for (size_t i = 0; i < kWidth; ++i) out.v[i] = function(i);
  return out;
}
inline Vec load(const float* p) {
  return each([=](size_t i) { return p[i]; });
}
inline void store(float* p, Vec a) {
  for (size_t i = 0; i < kWidth; ++i) p[i] = a.v[i];
}
inline Vec load_first(const float* p, size_t n) {
  return each([=](size_t i) { return i < n ? p[i] : 0.0f; });
}
inline void store_first(float* p, Vec a, size_t n) {
  for (size_t i = 0; i < n; ++i) p[i] = a.v[i];
}
inline Vec set(float x) {
  return each([=](size_t) { return x; });
}
inline Vec zero() { return set(0.0f); }
inline Vec add(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] + b.v[i]; });
}
inline Vec sub(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] - b.v[i]; });
}
inline Vec mul(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] * b.v[i]; });
}
inline Vec div(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] / b.v[i]; });
}
// Rounded twice: the baseline has no fused instruction.
inline Vec fma(Vec a, Vec b, Vec c) {
  return each([=](size_t i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec max(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each([=](size_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec nearest(Vec a) {
  // Adding 1.5 * 2^23 leaves no room for a fraction.
  return each([=](size_t i) { return (a.v[i] + 12582912.0f) - 12582912.0f; });
}
// a * 2^n for whole n, where neither a nor the result is subnormal.
inline Vec scale_by_power(Vec a, Vec n) {
  return each([=](size_t i) {
    int32_t bits;
    __builtin_memcpy(&bits, &a.v[i], sizeof bits);
    bits += static_cast<int32_t>(n.v[i]) * (1 << 23);
    float out;
    __builtin_memcpy(&out, &bits, sizeof out);
    return out;
  });
}
// a where x >= limit, else 0.
inline Vec where_at_least(Vec x, Vec limit, Vec a) {
  return each([=](size_t i) { return x.v[i] >= limit.v[i] ? a.v[i] : 0.0f; });
}
// a where x < 0, else b.
inline Vec where_negative(Vec x, Vec a, Vec b) {
  return each([=](size_t i) { return x.v[i] < 0.0f ? a.v[i] : b.v[i]; });
}
inline uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return out;
}
// The largest power of two that is not above a, which is positive and not subnormal.
inline Vec power_below(Vec a) {
  return each([=](size_t i) { return float_of(bits_of(a.v[i]) & 0x7f800000u); });
}
// a, which is not negative, with the sign of s.
inline Vec copy_sign(Vec a, Vec s) {
  return each([=](size_t i) { return float_of(bits_of(a.v[i]) | (bits_of(s.v[i]) & 1u << 31)); });
}
inline float sum(Vec a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }
inline float highest(Vec a) {
  float most = a.v[0];
  for (int i = 1; i < 4; ++i) most = a.v[i] > most ? a.v[i] : most;
  return most;
}

inline Vec load_int8(const int8_t* p) {
  return each([=](size_t i) { return static_cast<float>(p[i]); });
}
inline Vec load_bfloat16(const uint16_t* p) {
  return each([=](size_t i) { return float_of_bfloat16(p[i]); });
}
// Exponent and mantissa of e4m3 where float has them; 2^120 is the difference of the biases.
inline Vec load_float8(const uint8_t* p) {
  return each([=](size_t i) {
    const float size = float_of((p[i] & 0x7fu) << 20) * 0x1p120f;
    return p[i] & 0x80u ? -size : size;
  });
}
// Whole numbers from -128 to 127.
inline void store_int8(int8_t* p, Vec a) {
  for (size_t i = 0; i < kWidth; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}

// kWidth words of eight nibbles each, in two's complement.
struct Words {
  uint32_t v[kWidth];
};
inline Words load_words(const uint32_t* p) {
  Words words;
  for (size_t i = 0; i < kWidth; ++i) words.v[i] = p[i];
  return words;
}
inline Vec nibble(Words w, int j) {
  return each([=](size_t i) {
    return static_cast<float>(static_cast<int32_t>(w.v[i] << (28 - 4 * j)) >> 28);
  });
}

// Sums of products of bytes, four a lane.
struct Bytes {
  int8_t v[4 * kWidth];
};
struct DotSum {
  int32_t total[kWidth];
};
inline DotSum no_dot() { return {}; }
inline Bytes load_bytes(const uint8_t* p) {
  Bytes out;
  __builtin_memcpy(out.v, p, sizeof out.v);
  return out;
}
inline Bytes broadcast_quad(const int8_t* p) {
  Bytes out;
  for (size_t i = 0; i < 4 * kWidth; ++i) out.v[i] = p[i % 4];
  return out;
}
inline Bytes low_nibbles(Bytes b) {
  for (int8_t& code : b.v) code &= 15;
  return b;
}
inline Bytes high_nibbles(Bytes b) {
  for (int8_t& code : b.v) code = static_cast<int8_t>(static_cast<uint8_t>(code) >> 4);
  return b;
}
inline void dot_int8(DotSum& s, Bytes w, Bytes x) {
  for (size_t lane = 0; lane < kWidth; ++lane) {
    for (size_t i = 4 * lane; i < 4 * lane + 4; ++i) s.total[lane] += w.v[i] * x.v[i];
  }
}
inline void dot_nibbles(DotSum& s, Bytes w, Bytes x) { dot_int8(s, w, x); }
inline void fold(DotSum&) {}
using Int8Codes = Bytes;
inline Int8Codes load_codes(const uint8_t* p) { return load_bytes(p); }
inline Vec to_float(DotSum s) {
  return each([=](size_t i) { return static_cast<float>(s.total[i]); });
}

// An 8 x 8 block of items, transposed: out[j][i] = in[i][j].
template <class Item>
inline void transpose_block(const Item* in, size_t in_stride, Item* out, size_t out_stride) {
  for (size_t j = 0; j < 8; ++j) {
    for (size_t i = 0; i < 8; ++i) out[j * out_stride + i] = in[i * in_stride + j];
  }
}

}  // namespace llm_kernels::scalar
