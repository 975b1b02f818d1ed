// The linear tile on a matrix unit: up to 32 rows of codes meet 32 or 64 columns of a panel.
//
// A panel's codes lie as such a unit reads them: [four bytes of inputs][row of panel]. Sums of a
// segment are what kernels/linear_dot.h gets for int8, and are scaled and added in its order; so a
// row's result does not depend on which of the two computed it.
#pragma once

#include "kernels/linear_dot.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kFetchAhead = 8192;

// What a block of columns adds up to, kept near while segments pass.
template <int Vectors>
struct MatrixBlock {
  static constexpr size_t kColumns = Vectors * kWidth;
  static constexpr size_t kRows = Vectors == 2 ? kMatrixRows : kTileSide;
  alignas(64) float y[kRows * kColumns];
  alignas(64) int32_t sums[kRows * kColumns];
};

inline Vec load_some(const float* p, size_t live) {
  return live < kWidth ? load_first(p, live) : load(p);
}

// What columns [column, column + kColumns) of the tile add up to so far, to the block.
template <int Vectors>
inline void start_block(const DotTile& tile, size_t column, size_t rows, float* block) {
  const bool clear = tile.fresh && tile.bias == nullptr;
  const float* from = tile.fresh ? tile.bias : tile.y;
  const size_t stride = tile.fresh ? 0 : tile.y_stride;
  for (size_t m = 0; m < rows; ++m, block += Vectors * kWidth) {
#pragma GCC unroll 4
    for (size_t v = 0; v < Vectors; ++v) {
      const size_t at = column + v * kWidth;
      const bool none = clear || at >= tile.columns;
      store(block + v * kWidth,
            none ? zero() : load_some(from + m * stride + at, tile.columns - at));
    }
  }
}

template <int Vectors>
inline void finish_block(const DotTile& tile, size_t column, size_t rows, const float* block) {
  const size_t left = tile.columns - column;
  float* y = tile.y + column;
  for (size_t m = 0; m < rows; ++m, y += tile.y_stride, block += Vectors * kWidth) {
#pragma GCC unroll 4
    for (size_t at = 0; at < Vectors * kWidth; at += kWidth) {
      if (at + kWidth <= left) {
        store(y + at, load(block + at));
      } else if (at < left) {
        store_first(y + at, load(block + at), left - at);
      }
    }
  }
}

// A segment whose sums are stored, but not yet added to y.
struct MatrixSegment {
  size_t group;
  const float* x_scales;
  const float* x_sums;
};

// y += scale * (x scale * sum + offset * x sum); y += sum where there are no scales.
template <class Format, int Vectors>
inline void flush_matrix(const DotTile& tile, const MatrixSegment& segment, size_t column,
                         size_t rows, MatrixBlock<Vectors>& block) {
  Vec scale[Vectors];
  Vec offset[Vectors];
  if constexpr (Format::kScaled) {
    const size_t at = segment.group * kPanelRows + column;
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
        const Vec part = fma(set(segment.x_scales[m]), sum, mul(set(segment.x_sums[m]), offset[v]));
        store(y, fma(scale[v], part, load(y)));
      } else {
        store(y, add(load(y), sum));
      }
    }
  }
}

// With few rows the weights come from memory, and the loads of tiles are too few at a time to keep
// it busy.
inline void fetch_ahead(const uint8_t* codes, size_t bytes) {
  for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(codes + kFetchAhead + at);
}

template <class Format, Shape shape>
inline void multiply_segment(const DotTile& tile, const int8_t* x, const uint8_t* codes,
                             size_t runs, size_t rows, bool cold) {
  clear_sums();
  for (size_t i = 0; i < runs; ++i) {
    if (cold) fetch_ahead(codes, tile.run / 4 * kPanelBytes);
    Format::template meet<shape>(x, tile.run, codes, kPanelBytes);
    x += rows * tile.run;
    codes += tile.run / 4 * kPanelBytes;
  }
}

// The sums of a segment are added while the tiles of the next are multiplied: the processor does
// both at once, but only what is close together in the program.
template <class Format, int Vectors>
inline void multiply_columns(const DotTile& tile, size_t column, size_t rows) {
  constexpr Shape kShape = Vectors == 2 ? Shape::tall : Shape::wide;
  constexpr size_t kCodeBytes = Format::kScaled ? 1 : 2;
  constexpr size_t kLongest = Format::kScaled ? kDotSegment : kSegment;
  MatrixBlock<Vectors> block;
  start_block<Vectors>(tile, column, rows, block.y);
  const auto* codes = static_cast<const uint8_t*>(tile.codes) + 4 * column;
  const int8_t* x = tile.x;
  MatrixSegment now = {0, tile.x_scales, tile.x_sums};
  MatrixSegment stored = now;
  for (size_t k = tile.k_begin; k < tile.k_end;) {
    const size_t end = segment_end(k, tile.k_end, tile.group, kLongest);
    const size_t bytes = (end - k) * kCodeBytes;
    now.group = k / tile.group;
    multiply_segment<Format, kShape>(tile, x, codes, bytes / tile.run, rows,
                                     tile.cold && column == 0);
    if (k > tile.k_begin) flush_matrix<Format, Vectors>(tile, stored, column, rows, block);
    store_sums<kShape>(block.sums, MatrixBlock<Vectors>::kColumns * sizeof(float));
    stored = now;
    codes += bytes / 4 * kPanelBytes;
    x += bytes * rows;
    now.x_scales += rows;
    now.x_sums += rows;
    k = end;
  }
  flush_matrix<Format, Vectors>(tile, stored, column, rows, block);
  finish_block<Vectors>(tile, column, rows, block.y);
}

template <class Format>
void matrix_tile(const DotTile& tile, size_t rows) {
  const Tiles tiles(rows, tile.run);
  if (rows <= kTileSide) return multiply_columns<Format, 4>(tile, 0, rows);
  for (size_t column = 0; column < tile.columns; column += 2 * kWidth) {
    multiply_columns<Format, 2>(tile, column, rows);
  }
}

// To codes of kInt8Dot, not biased. See TallTiles::expand.
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

constexpr TallTiles kTall = {
    kMatrixRows,
    {64, 32},
    1,
    {kMatrixFromInt8, kMatrixFromInt4, kMatrixFromBFloat16},
    {matrix_tile<Int8Matrix>, matrix_tile<Int8Matrix>, matrix_tile<BFloat16Matrix>},
    {nullptr, expand_nibbles, nullptr}};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
