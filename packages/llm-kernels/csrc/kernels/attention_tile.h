// Products of a few queries with a block of the cache, in registers, over the vector type of the
// including unit.
//
// Keys of a block are stored dimension by dimension and values row by row, so that both products
// broadcast a number of the query's and meet neighbouring numbers of the cache: no sum runs across
// lanes. Every sum is a single chain in the order of the cache, whatever the tile, so a query's
// result does not depend on the queries beside it.
#pragma once

#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// Sums that are kept in registers at once, and the most queries of a tile.
constexpr int kAttendSums = kWidth == 16 ? 24 : kWidth == 8 ? 12 : 8;
constexpr int kAttendRows = kWidth == 4 ? 4 : 6;

// The vectors of a tile of `rows` queries: a power of two, so that halves of it are tiles too.
constexpr int attend_vectors(int rows) {
  int vectors = 8;
  while (vectors > 1 && rows * vectors > kAttendSums) vectors /= 2;
  return vectors;
}

// Places of a block, from begin to end; end <= begin where there are none.
struct Span {
  size_t begin;
  size_t end;
};

// What a number of the cache is, and how it becomes a float.
struct Float32Items {
  using Item = float;
  static Vec load(const Item* p) { return LLM_KERNELS_UNIT::load(p); }
};
struct BFloat16Items {
  using Item = uint16_t;
  static Vec load(const Item* p) { return load_bfloat16(p); }
};
struct Int8Items {
  using Item = int8_t;
  static Vec load(const Item* p) { return load_int8(p); }
};

// The first `live` numbers at p, zeros after them.
template <class Items>
inline Vec load_items(const typename Items::Item* p, size_t live) {
  if (live == kWidth) return Items::load(p);
  typename Items::Item few[kWidth] = {};
  for (size_t i = 0; i < live; ++i) few[i] = p[i];
  return Items::load(few);
}

// What to fetch into the caches while a strip is met: `step` bytes a row, from `at` on; or null.
struct Ahead {
  const void* at;
  size_t step;
};

// acc[n][v] += the sum over k in span of a[n][k] * b[k * stride + v * kWidth].
template <class Items, int Rows, int Vectors>
inline void multiply(const float* const* a, const typename Items::Item* b, size_t stride, Span span,
                     Ahead ahead, Vec (&acc)[Rows][Vectors]) {
  b += span.begin * stride;
  const char* fetched = static_cast<const char*>(ahead.at) + span.begin * ahead.step;
  for (size_t k = span.begin; k < span.end; ++k, b += stride, fetched += ahead.step) {
    if constexpr (Rows * Vectors < kAttendSums) __builtin_prefetch(fetched);
    if constexpr (Rows < Vectors) {
      Vec x[Rows];
#pragma GCC unroll 8
      for (int n = 0; n < Rows; ++n) x[n] = set(a[n][k]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const Vec w = Items::load(b + v * kWidth);
#pragma GCC unroll 8
        for (int n = 0; n < Rows; ++n) acc[n][v] = fma(x[n], w, acc[n][v]);
      }
    } else {
      Vec w[Vectors];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) w[v] = Items::load(b + v * kWidth);
#pragma GCC unroll 8
      for (int n = 0; n < Rows; ++n) {
        const Vec x = set(a[n][k]);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) acc[n][v] = fma(x, w[v], acc[n][v]);
      }
    }
  }
}

// scores[n] = scale * a[n] . b for `Vectors` vectors of keys, of which b is [depth, stride].
template <class Items, int Rows, int Vectors>
inline void score_strip(const float* const* q, const typename Items::Item* keys, size_t stride,
                        size_t depth, float scale, Ahead ahead, float* const* scores) {
  Vec acc[Rows][Vectors];
#pragma GCC unroll 8
  for (int n = 0; n < Rows; ++n) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) acc[n][v] = zero();
  }
  multiply<Items, Rows, Vectors>(q, keys, stride, {0, depth}, ahead, acc);
  const Vec factor = set(scale);
#pragma GCC unroll 8
  for (int n = 0; n < Rows; ++n) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(scores[n] + v * kWidth, mul(acc[n][v], factor));
  }
}

// out[n] += p[n] . values over the rows `seen` of `Vectors` vectors of dimensions.
template <class Items, int Rows, int Vectors>
inline void weigh_strip(const float* const* p, const typename Items::Item* values, size_t stride,
                        Span seen, Ahead ahead, float* const* out) {
  Vec acc[Rows][Vectors];
#pragma GCC unroll 8
  for (int n = 0; n < Rows; ++n) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) acc[n][v] = load(out[n] + v * kWidth);
  }
  multiply<Items, Rows, Vectors>(p, values, stride, seen, ahead, acc);
#pragma GCC unroll 8
  for (int n = 0; n < Rows; ++n) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(out[n] + v * kWidth, acc[n][v]);
  }
}

// The same for the last `live` dimensions, fewer than a vector.
template <class Items, int Rows>
inline void weigh_rest(const float* const* p, const typename Items::Item* values, size_t stride,
                       Span seen, size_t live, float* const* out) {
  Vec acc[Rows];
  for (int n = 0; n < Rows; ++n) acc[n] = load_first(out[n], live);
  for (size_t k = seen.begin; k < seen.end; ++k) {
    const Vec w = load_items<Items>(values + k * stride, live);
    for (int n = 0; n < Rows; ++n) acc[n] = fma(set(p[n][k]), w, acc[n]);
  }
  for (int n = 0; n < Rows; ++n) store_first(out[n], acc[n], live);
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
