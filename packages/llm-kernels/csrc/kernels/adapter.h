// What a low-rank adapter adds to some rows, over the vector type of the including unit: two small
// products, of which the first is kept. A row's sums do not depend on the rows beside it.
#pragma once

#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// A x of `Rows` rows from `row` on, for `Ranks` rows of A from `rank` on.
template <int Rows, int Ranks>
inline void narrow_block(const AdapterTile& tile, size_t row, size_t rank) {
  const float* x[Rows];
  for (int m = 0; m < Rows; ++m) x[m] = tile.x + tile.at[row + m] * tile.inputs;
  const float* a = tile.a + rank * tile.inputs;
  Vec acc[Rows][Ranks];
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int j = 0; j < Ranks; ++j) acc[m][j] = zero();
  }
  for (size_t i = 0; i < tile.inputs; i += kWidth) {
    const size_t live = tile.inputs - i < kWidth ? tile.inputs - i : kWidth;
    Vec part[Rows];
#pragma GCC unroll 4
    for (int m = 0; m < Rows; ++m) part[m] = load_live(x[m] + i, live);
#pragma GCC unroll 4
    for (int j = 0; j < Ranks; ++j) {
      const Vec w = load_live(a + j * tile.inputs + i, live);
#pragma GCC unroll 4
      for (int m = 0; m < Rows; ++m) acc[m][j] = fma(w, part[m], acc[m][j]);
    }
  }
  for (int m = 0; m < Rows; ++m) {
    for (int j = 0; j < Ranks; ++j) tile.narrow[(row + m) * tile.rank + rank + j] = sum(acc[m][j]);
  }
}

template <int Ranks>
inline void narrow_rows(const AdapterTile& tile, size_t rank) {
  size_t row = 0;
  for (; row + 2 <= tile.rows; row += 2) narrow_block<2, Ranks>(tile, row, rank);
  if (row < tile.rows) narrow_block<1, Ranks>(tile, row, rank);
}

// B (A x) of `Rows` rows from `row` on, added to `live` outputs from `column` on.
template <int Rows>
inline void wide_block(const AdapterTile& tile, size_t row, size_t column, size_t live) {
  float* y[Rows];
  Vec acc[Rows];
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
    y[m] = tile.y + tile.at[row + m] * tile.y_stride + column;
    acc[m] = load_live(y[m], live);
  }
  const float* narrow = tile.narrow + row * tile.rank;
  for (size_t j = 0; j < tile.rank; ++j) {
    const Vec w = load_live(tile.b + j * tile.outputs + column, live);
#pragma GCC unroll 4
    for (int m = 0; m < Rows; ++m) acc[m] = fma(w, set(narrow[m * tile.rank + j]), acc[m]);
  }
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
    if (live == kWidth) {
      store(y[m], acc[m]);
    } else {
      store_first(y[m], acc[m], live);
    }
  }
}

// See KernelTable::adapt.
void adapt(const AdapterTile& tile) {
  size_t rank = 0;
  for (; rank + 4 <= tile.rank; rank += 4) narrow_rows<4>(tile, rank);
  for (; rank < tile.rank; ++rank) narrow_rows<1>(tile, rank);
  for (size_t column = 0; column < tile.outputs; column += kWidth) {
    const size_t left = tile.outputs - column, live = left < kWidth ? left : kWidth;
    size_t row = 0;
    for (; row + 4 <= tile.rows; row += 4) wide_block<4>(tile, row, column, live);
    for (; row < tile.rows; ++row) wide_block<1>(tile, row, column, live);
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
