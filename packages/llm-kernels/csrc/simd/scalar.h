// The vector type of the portable unit: four lanes in plain C++, for a compiler to vectorise.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace llm_kernels::scalar {

constexpr size_t kWidth = 4;
constexpr int kTileRows = 2;
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
inline float sum(Vec a) { return (a.v[0] + a.v[1]) + (a.v[2] + a.v[3]); }

inline Vec load_int8(const int8_t* p) {
  return each([=](size_t i) { return static_cast<float>(p[i]); });
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

// An 8 x 8 block of items, turned: out[j][i] = in[i][j].
template <class Item>
inline void turn_block(const Item* in, size_t in_stride, Item* out, size_t out_stride) {
  for (size_t j = 0; j < 8; ++j) {
    for (size_t i = 0; i < 8; ++i) out[j * out_stride + i] = in[i * in_stride + j];
  }
}

}  // namespace llm_kernels::scalar
