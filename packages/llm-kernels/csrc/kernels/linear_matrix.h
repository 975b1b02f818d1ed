// The linear tile on a matrix unit: up to 32 rows of codes meet 32 or 64 columns of a panel.
//
// A panel's codes lie as such a unit reads them: [four bytes of inputs][row of panel]. Sums of a
// segment are what kernels/linear_dot.h gets for int8, and are scaled and added in its order; so a
// row's result does not depend on which of the two computed it.
#pragma once

#include "kernels/linear_dot.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// What a block of columns adds up to, kept near while segments pass.
template <int Vectors>
struct MatrixBlock {
  static constexpr size_t kColumns = Vectors * kWidth;
  static constexpr size_t kRows = Vectors == 2 ? kMatrixRows : kTileSide;
  alignas(64) float y[kRows * kColumns];
  alignas(64) int32_t sums[kRows * kColumns];
};

// Columns [column, column + kColumns) of the tile's y, to the block or back.
template <int Vectors, bool Out>
inline void copy_block(const DotTile& tile, size_t column, size_t rows, float* block) {
  for (size_t m = 0; m < rows; ++m) {
    for (size_t v = 0; v < Vectors; ++v, block += kWidth) {
      const size_t at = column + v * kWidth;
      if (at >= tile.columns) continue;
      const size_t left = tile.columns - at < kWidth ? tile.columns - at : kWidth;
      float* y = tile.y + m * tile.y_stride + at;
      if constexpr (Out) {
        store_first(y, load(block), left);
      } else {
        store(block, load_first(y, left));
      }
    }
  }
}

// y += scale * (x scale * sum + offset * x sum); y += sum where there are no scales.
template <class Format, int Vectors>
inline void flush_matrix(const DotTile& tile, size_t group, size_t column, size_t rows,
                         const float* x_scales, const float* x_sums,
                         MatrixBlock<Vectors>& block) {
  Vec scale[Vectors];
  Vec offset[Vectors];
  if constexpr (Format::kScaled) {
    const size_t at = group * kPanelRows + column;
    for (int v = 0; v < Vectors; ++v) {
      scale[v] = load(tile.scales + at + v * kWidth);
      offset[v] = tile.offsets ? load(tile.offsets + at + v * kWidth) : set(tile.offset);
    }
  }
  const auto* sums = reinterpret_cast<const typename Format::Sum*>(block.sums);
  float* y = block.y;
  for (size_t m = 0; m < rows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v, sums += kWidth, y += kWidth) {
      const Vec sum = Format::load_sums(sums);
      if constexpr (Format::kScaled) {
        const Vec part = fma(set(x_scales[m]), sum, mul(set(x_sums[m]), offset[v]));
        store(y, fma(scale[v], part, load(y)));
      } else {
        store(y, add(load(y), sum));
      }
    }
  }
}

template <class Format, int Vectors>
inline void multiply_segment(const DotTile& tile, const int8_t* x, const uint8_t* codes,
                             size_t runs, size_t rows, MatrixBlock<Vectors>& block) {
  clear_sums();
  for (size_t i = 0; i < runs; ++i) {
    if constexpr (Vectors == 2) {
      Format::meet_tall(x, tile.run, codes, kPanelBytes);
    } else {
      Format::meet_wide(x, tile.run, codes, kPanelBytes);
    }
    x += rows * tile.run;
    codes += tile.run / 4 * kPanelBytes;
  }
  if constexpr (Vectors == 2) {
    store_sums_tall(block.sums);
  } else {
    store_sums_wide(block.sums);
  }
}

template <class Format, int Vectors>
inline void multiply_columns(const DotTile& tile, size_t column, size_t rows) {
  constexpr size_t kCodeBytes = Format::kScaled ? 1 : 2;
  constexpr size_t kLongest = Format::kScaled ? kDotSegment : kSegment;
  MatrixBlock<Vectors> block;
  copy_block<Vectors, false>(tile, column, rows, block.y);
  const auto* codes = static_cast<const uint8_t*>(tile.codes) + 4 * column;
  const int8_t* x = tile.x;
  const float* x_scales = tile.x_scales;
  const float* x_sums = tile.x_sums;
  for (size_t k = tile.k_begin; k < tile.k_end;) {
    const size_t end = segment_end(k, tile.k_end, tile.group, kLongest);
    const size_t bytes = (end - k) * kCodeBytes;
    multiply_segment<Format, Vectors>(tile, x, codes, bytes / tile.run, rows, block);
    flush_matrix<Format, Vectors>(tile, k / tile.group, column, rows, x_scales, x_sums, block);
    codes += bytes / 4 * kPanelBytes;
    x += bytes * rows;
    x_scales += rows;
    x_sums += rows;
    k = end;
  }
  copy_block<Vectors, true>(tile, column, rows, block.y);
}

template <class Format>
void matrix_tile(const DotTile& tile, size_t rows) {
  const Tiles tiles(rows, tile.run);
  if (rows <= kTileSide) return multiply_columns<Format, 4>(tile, 0, rows);
  for (size_t column = 0; column < tile.columns; column += 2 * kWidth) {
    multiply_columns<Format, 2>(tile, column, rows);
  }
}

// See MatrixKernels::expand_nibbles.
void expand_nibbles(const void* codes, size_t count, uint8_t* out) {
  const auto* from = static_cast<const uint8_t*>(codes);
  for (size_t k = 0; k < count; k += 8, from += kPanelBytes, out += 2 * kPanelBytes) {
    for (size_t at = 0; at < kPanelBytes; at += kVectorBytes) {
      const Bytes both = load_bytes(from + at);
      store_bytes(out + at, low_nibbles(both));
      store_bytes(out + kPanelBytes + at, high_nibbles(both));
    }
  }
}

constexpr MatrixKernels kMatrix = {kMatrixRows,
                                   {kMatrixFromInt8, kMatrixFromInt4, kMatrixFromBFloat16},
                                   {matrix_tile<Int8Matrix>, nullptr, matrix_tile<BFloat16Matrix>},
                                   expand_nibbles};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
