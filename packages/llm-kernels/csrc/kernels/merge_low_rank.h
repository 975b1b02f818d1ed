// Rows of a weight plus a product of low rank, over the vector type of the including unit.
//
// A number of the result is the sum over the rank, in order and from zero, and then the weight: it
// does not depend on which rows and columns are computed with it.
#pragma once

#include "kernels/float_types.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// Rows of a tile, which is two vectors wide: its sums fill half of the registers.
constexpr size_t kMergedRows = kWidth / 2;

template <class From, class To, size_t Rows>
inline void merge_tile(const LowRankRows& part, size_t row, size_t column) {
  Vec sums[Rows][2];
#pragma GCC unroll 8
  for (size_t i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = zero();
  const float* a = part.a + column;
  for (size_t k = 0; k < part.rank; ++k, a += part.a_stride) {
    const Vec left = load(a), right = load(a + kWidth);
#pragma GCC unroll 8
    for (size_t i = 0; i < Rows; ++i) {
      const Vec b = set(part.b[(row + i) * part.rank + k]);
      sums[i][0] = fma(b, left, sums[i][0]);
      sums[i][1] = fma(b, right, sums[i][1]);
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < Rows; ++i) {
    const auto* w = static_cast<const typename From::Item*>(part.w) + (row + i) * part.w_stride;
    auto* out = static_cast<typename To::Item*>(part.out) + (row + i) * part.out_stride;
    To::store(out + column, add(From::load(w + column), sums[i][0]));
    To::store(out + column + kWidth, add(From::load(w + column + kWidth), sums[i][1]));
  }
}

// One row's last columns, fewer than two vectors of them.
template <class From, class To>
inline void merge_end(const LowRankRows& part, size_t row, size_t column) {
  const auto* w = static_cast<const typename From::Item*>(part.w) + row * part.w_stride;
  auto* out = static_cast<typename To::Item*>(part.out) + row * part.out_stride;
  for (size_t live; column < part.columns; column += live) {
    live = part.columns - column < kWidth ? part.columns - column : kWidth;
    typename From::Item in[kWidth] = {};
    typename To::Item sum[kWidth];
    for (size_t j = 0; j < live; ++j) in[j] = w[column + j];
    Vec total = zero();
    for (size_t k = 0; k < part.rank; ++k) {
      const Vec a = load_first(part.a + k * part.a_stride + column, live);
      total = fma(set(part.b[row * part.rank + k]), a, total);
    }
    To::store(sum, add(From::load(in), total));
    for (size_t j = 0; j < live; ++j) out[column + j] = sum[j];
  }
}

template <class From, class To>
void merge_rows(const LowRankRows& part) {
  const size_t whole = part.columns / (2 * kWidth) * (2 * kWidth);
  size_t row = 0;
  for (; row + kMergedRows <= part.rows; row += kMergedRows) {
    for (size_t j = 0; j < whole; j += 2 * kWidth) merge_tile<From, To, kMergedRows>(part, row, j);
  }
  for (; row < part.rows; ++row) {
    for (size_t j = 0; j < whole; j += 2 * kWidth) merge_tile<From, To, 1>(part, row, j);
  }
  for (row = 0; row < part.rows; ++row) merge_end<From, To>(part, row, whole);
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
