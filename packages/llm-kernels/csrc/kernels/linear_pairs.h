// The linear tile for many rows where bytes meet slowly: codes and inputs are widened to 16 bits
// once, and then pairs of them are multiplied and added up in 32.
//
// A panel's codes are expanded to [input / 2][row of panel][2]. Sums of a segment are what
// kernels/linear_dot.h gets, and are scaled and added in its order; so a row's result does not
// depend on which of the two computed it.
#pragma once

#include "kernels/linear_dot.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr int kPairVectors = 2;  // of a panel, met at once

// Where the tile begins, instead of adding to what its outputs are.
template <int Rows>
inline void set_outputs(const DotTile& tile) {
  for (size_t column = 0; column < tile.columns; column += kWidth) {
    const size_t left = tile.columns - column;
    const Vec first =
        tile.bias ? load_live(tile.bias + column, left < kWidth ? left : kWidth) : zero();
    for (int m = 0; m < Rows; ++m) {
      float* y = tile.y + m * tile.y_stride + column;
      left >= kWidth ? store(y, first) : store_first(y, first, left);
    }
  }
}

struct PairDot {
  static constexpr size_t kInputBytes = 2;
  static size_t stored(size_t count) { return (count + 1) / 2 * kPanelBytes; }

  template <int Rows, int Vectors>
  static inline __attribute__((always_inline)) void accumulate(const uint8_t* codes,
                                                               const int8_t* x, size_t count,
                                                               DotSums<Rows, Vectors>& acc) {
    static_assert(Vectors == kPairVectors);
    for (size_t i = 0; i < (count + 1) / 2; ++i, codes += kPanelBytes, x += 4 * Rows) {
      const Bytes first = load_bytes(codes);
      const Bytes second = load_bytes(codes + kVectorBytes);
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m) {
        const Bytes pair = broadcast_quad(x + 4 * m);
        dot_pairs(acc.at[m][0], first, pair);
        dot_pairs(acc.at[m][1], second, pair);
      }
    }
  }
};

template <int Rows>
void pair_tile_up_to(const DotTile& tile, size_t rows) {
  if (rows == Rows) {
    if (tile.fresh) set_outputs<Rows>(tile);
    return dot_rows<PairDot, Rows, kPairVectors>(tile);
  }
  if constexpr (Rows > 1) pair_tile_up_to<Rows - 1>(tile, rows);
}

void pair_tile(const DotTile& tile, size_t rows) { pair_tile_up_to<kPairRows>(tile, rows); }

// Four inputs of every row of a vector, as two pairs of 16 bits each.
inline void store_pairs(uint8_t* out, Bytes quads) {
  const Pairs pairs = widen_quads(quads);
  store_bytes(out, pairs.first);
  store_bytes(out + kPanelBytes, pairs.second);
}

// See TallTiles::expand.
void expand_int8_pairs(const void* codes, size_t count, uint8_t* out) {
  const auto* from = static_cast<const uint8_t*>(codes);
  for (size_t k = 0; k < count; k += 4, from += kPanelBytes, out += 2 * kPanelBytes) {
    for (size_t at = 0; at < kPanelBytes; at += kVectorBytes) {
      store_pairs(out + at, load_bytes(from + at));
    }
  }
}

void expand_int4_pairs(const void* codes, size_t count, uint8_t* out) {
  const auto* from = static_cast<const uint8_t*>(codes);
  for (size_t k = 0; k < count; k += 8, from += kPanelBytes, out += 4 * kPanelBytes) {
    for (size_t at = 0; at < kPanelBytes; at += kVectorBytes) {
      const Bytes both = load_bytes(from + at);
      store_pairs(out + at, low_nibbles(both));
      store_pairs(out + 2 * kPanelBytes + at, high_nibbles(both));
    }
  }
}

constexpr TallTiles kTall = {kPairRows,
                             {4, 4},
                             2,
                             {kPairsFromInt8, kPairsFromInt4, SIZE_MAX},
                             {pair_tile, pair_tile, nullptr},
                             {expand_int8_pairs, expand_int4_pairs, nullptr}};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
