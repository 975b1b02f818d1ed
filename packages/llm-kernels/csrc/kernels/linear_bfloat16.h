// The linear tile over inputs in bfloat16: pairs of products are added in float, where the
// including unit has an instruction for that.
//
// Two inputs of a row lie side by side, [input / 2][row of panel][2]. A segment's sums are added to
// the output at its end, so that a row's result does not depend on the rows beside it.
#pragma once

#include "kernels/linear_dot.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

template <int Rows>
void bfloat16_rows(const DotTile& tile) {
  const auto* codes = static_cast<const uint8_t*>(tile.codes);
  const int8_t* x = tile.x;
  for (size_t k = tile.k_begin; k < tile.k_end;) {
    const size_t end = segment_end(k, tile.k_end, tile.k_end);
    Sums<Rows> acc;
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc.v[m][v] = zero();
    }
    for (size_t pair = 0; pair < (end - k + 1) / 2; ++pair, codes += kPanelBytes, x += 4 * Rows) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Bytes w = load_bytes(codes + v * kVectorBytes);
#pragma GCC unroll 8
        for (int m = 0; m < Rows; ++m) {
          acc.v[m][v] = dot_bfloat16(acc.v[m][v], w, broadcast_quad(x + 4 * m));
        }
      }
    }
    const LinearTile out = {nullptr,       nullptr,      nullptr, nullptr, nullptr, tile.y,
                            tile.y_stride, tile.columns, k,       end,     end};
    flush(out, 0, nullptr, acc);
    k = end;
  }
}

template <int Rows>
void bfloat16_tile_up_to(const DotTile& tile, size_t rows) {
  if (rows == Rows) return bfloat16_rows<Rows>(tile);
  if constexpr (Rows > 1) bfloat16_tile_up_to<Rows - 1>(tile, rows);
}

template <bool Present>
void bfloat16_tile(const DotTile& tile, size_t rows) {
  if constexpr (Present) {
    bfloat16_tile_up_to<kDotTileRows>(tile, rows);
  } else {
    (void)tile;
    (void)rows;
    __builtin_trap();  // no weight is packed in this format here
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
