// A stripe of x as the tiles read it: floats side by side, or int8 codes with their scales.
#pragma once

#include <algorithm>

#include "llm_kernels/linear.h"

namespace llm_kernels {

// Rows [first_row, first_row + rows) of x, in tiles of tile_rows.
struct Stripe {
  const float* x;  // [first_row + rows, inputs]
  std::size_t first_row;
  std::size_t rows;
  std::size_t inputs;
  std::size_t tile_rows;

  std::size_t tiles() const { return (rows + tile_rows - 1) / tile_rows; }
  std::size_t rows_in(std::size_t tile) const {
    return std::min(tile_rows, rows - tile * tile_rows);
  }
  const float* row(std::size_t tile, std::size_t m) const {
    return x + (first_row + tile * tile_rows + m) * inputs;
  }
  // Where a tile's inputs from `begin` on lie in packed floats, [kSegment chunk][tile][input][row].
  std::size_t float_place(std::size_t begin, std::size_t chunk, std::size_t tile) const {
    return begin * rows + tile * tile_rows * chunk;
  }
  // Where they lie in codes of `bytes` each, [tile][run][row]; rows are padded to whole octets of
  // inputs.
  std::size_t code_place(std::size_t begin, std::size_t tile, std::size_t bytes) const {
    return (tile * tile_rows * padded() + begin * rows_in(tile)) * bytes;
  }
  std::size_t padded() const { return (inputs + 7) / 8 * 8; }
};

// What decides how a weight's inputs are packed: parts that agree in it share them.
struct InputKey {
  std::size_t run;  // see DotTile; 0: floats
  InputForm form;
  std::size_t group;  // 0 where it decides nothing
  bool sums;
  std::size_t code_bytes;  // of an input
  bool tall;               // met by TallTiles

  bool is_codes() const { return run > 0; }
  bool operator==(const InputKey& o) const {
    return run == o.run && form == o.form && group == o.group && sums == o.sums && tall == o.tall;
  }
};
// For `rows` rows of x.
InputKey input_key(const KernelTable& table, const PackedLinear& weight, std::size_t rows);

// Segments before input `k`, for sums and scales, [tile][segment][row of tile].
std::size_t segments_before(std::size_t k, const InputKey& key, std::size_t inputs);

// What packing a row of `inputs` numbers for the weights of `key` needs of LinearScratch::rows.
std::size_t row_bytes(const InputKey& key, std::size_t inputs);

// Packs the stripe for the weights of `key`. A single row of exact floats stays where it is. `rows`
// are LinearScratch::rows, with room for row_bytes() each.
void pack_inputs(const KernelTable& table, ThreadPool& pool, const Stripe& stripe,
                 const InputKey& key, const std::vector<GrowingBuffer<std::int8_t>>& rows,
                 StripeInputs& out);

}  // namespace llm_kernels
