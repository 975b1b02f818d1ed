// The inner loops of one instruction set, as a table of functions.
//
// This header is all that a unit compiled with -mavx2 or -mavx512f shares with the rest, so it
// holds plain structs and C types only: a template of the standard library that such a unit
// instantiated could be the copy the linker keeps for every processor.
//
// Every function is deterministic per row: what it computes for a row does not depend on how many
// other rows are computed with it. That makes a sequence's result independent of its batch.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace llm_kernels {

// How a linear weight's codes are stored. The formats up to kInt4 are decoded to float and meet
// float inputs; the last three meet inputs that were rounded to int8 or to bfloat16 (DotTile).
enum WeightFormat {
  kFloat32 = 0,
  kBFloat16 = 1,
  kFloat8 = 2,  // e4m3, finite codes only
  kInt8 = 3,
  kInt4 = 4,
  kFloatFormats = 5,
  kInt8Dot = 5,
  kInt4Dot = 6,
  kBFloat16Dot = 7,  // pairs of inputs side by side; where KernelTable::bfloat16_products
  kWeightFormats = 8,
};
constexpr int kDotFormats = kWeightFormats - kFloatFormats;

enum Activation {
  kSilu = 0,
  kGelu = 1,
  kGeluTanh = 2,
  kRelu = 3,
  kActivations = 4,
};

// Sums run over at most this many inputs before they are scaled and added to the output.
constexpr size_t kSegment = 256;
// The same where inputs are int8, which share a scale within a segment; divides kSegment.
constexpr size_t kDotSegment = 128;

// Where the run of inputs that starts at `k` ends: at a multiple of `longest`, at the end of its
// group, or at `k_end`, whichever comes first.
inline size_t segment_end(size_t k, size_t k_end, size_t group, size_t longest = kSegment) {
  size_t end = (k / longest + 1) * longest;
  const size_t group_end = (k / group + 1) * group;
  if (group_end < end) end = group_end;
  return end < k_end ? end : k_end;
}

// Some rows of x times one panel of weights, added to y.
struct LinearTile {
  const float* x;        // [k_end - k_begin, rows]
  const float* sums;     // [segments, rows] sums of x over each segment; read with offsets only
  const void* codes;     // the panel's codes from k_begin on
  const float* scales;   // the panel's [groups, panel_rows], or null where there are none
  const float* offsets;  // the panel's [groups, panel_rows]: what to add to a code; or null
  float* y;              // [rows, y_stride]; added to
  size_t y_stride;
  size_t columns;  // outputs of this panel that exist, up to panel_rows
  size_t k_begin;
  size_t k_end;
  size_t group;  // inputs that share a scale
};

// Some rows of codes times one panel of weights, added to y. A run is what lies side by side of a
// row: four bytes for a dot_tile, one of TallTiles::runs for a tall one.
struct DotTile {
  const int8_t* x;        // [bytes / run, rows, run], zeros behind the last input
  const float* x_scales;  // [segments, rows]
  const float* x_sums;    // [segments, rows] scale times the sum of the codes
  const void* codes;      // the panel's codes from k_begin on
  const float* scales;    // the panel's [groups, panel_rows]
  const float* offsets;   // the panel's [groups, panel_rows]: what to add to a code; or null
  float offset;           // what to add to a code where offsets is null
  float* y;               // [rows, y_stride]; added to
  size_t y_stride;
  size_t columns;  // outputs of this panel that exist, up to panel_rows
  size_t k_begin;  // multiples of 8, but for the last k_end
  size_t k_end;
  size_t group;  // inputs that share a scale
  size_t run;
  // Read by a tall tile: y is set, not added to, and begins at the bias of the panel's outputs,
  // or at 0 where that is null.
  bool fresh;
  const float* bias;
  bool cold;  // read by a tall tile: nothing met these codes just before
};

// Some rows that have one low-rank adapter: y += b (a x).
struct AdapterTile {
  const float* a;    // [rank, inputs]
  const float* b;    // [rank, outputs]
  const float* x;    // rows of `inputs`
  float* y;          // rows of `outputs`, y_stride apart; added to
  const size_t* at;  // [rows] which rows of x and y
  float* narrow;     // [rows, rank] scratch: a x
  size_t y_stride;
  size_t rows;
  size_t rank;
  size_t inputs;
  size_t outputs;
};

// How keys and values are kept. int8 codes count in steps of a scale: one that is given for every
// key/value head, or one of every token and head, measured as it is stored.
enum CacheLayout {
  kCacheFloat32 = 0,
  kCacheBFloat16 = 1,
  kCacheInt8 = 2,
  kCacheInt8Dynamic = 3,
  kCacheLayouts = 4,
};

// Types of a weight that an adapter is merged into.
enum FloatType {
  kTypeFloat32 = 0,
  kTypeBFloat16 = 1,
  kTypeFloat16 = 2,
  kFloatTypes = 3,
};

// Some rows of a weight plus a product of low rank: out = w + b a.
struct LowRankRows {
  const void* w;  // [rows, w_stride]
  size_t w_stride;
  const float* b;  // [rows, rank]
  const float* a;  // [rank, a_stride]
  size_t a_stride;
  size_t rank;
  size_t rows;
  size_t columns;
  void* out;  // [rows, out_stride]
  size_t out_stride;
};

// Attention of `rows` consecutive tokens of one sequence, for `heads` query heads that share one
// key/value head, over the keys [first_key, end_key) of a cache of blocks.
struct AttentionItem {
  const float* q;             // [rows, q_stride], at the first of the heads
  float* out;                 // [rows, out_stride], likewise; heads of value_dim
  const void* keys;           // the head's part of block 0: [head_dim, block_size]
  const void* values;         // the head's part of block 0: [block_size, value_dim]
  const float* key_scales;    // of kCacheInt8Dynamic: the head's part of block 0: [block_size]
  const float* value_scales;  // likewise
  const int32_t* blocks;      // the sequence's block table
  const float* slopes;        // [heads] ALiBi slopes, or null
  float rounded_scale;        // not 0: slope * key is rounded to bfloat16, then scaled by this
  float* states;              // attention_states(...) floats: what is known of each query so far
  float* scratch;             // attention_scratch(...) floats
  size_t q_stride;
  size_t out_stride;
  size_t key_stride;    // numbers from a block of keys to the next
  size_t value_stride;  // the same of values
  size_t scale_stride;  // the same of scales
  size_t rows;
  size_t heads;
  size_t head_dim;
  size_t value_dim;
  size_t block_size;    // a multiple of 16
  int64_t first_index;  // index in the sequence of the first row
  int64_t first_key;    // a multiple of block_size
  int64_t end_key;      // a multiple of block_size
  int64_t window;       // keys seen back from a row, itself included; 0: all
  int64_t prefix;       // keys below it are seen by every row
  float scale;          // of the scores, times what a code of the keys counts
  float value_scale;    // what a code of the values counts
  float cap;            // not 0: scores become cap * tanh(score / cap)
};

// Floats of states and of scratch for an item of `queries` = rows * heads; whole cache lines.
inline size_t attention_states(size_t queries, size_t value_dim) {
  return (queries * (value_dim + 2) + 15) / 16 * 16;
}
// Scores, a block laid out, and on a matrix unit the queries and a tile's shares in half floats.
inline size_t attention_scratch(size_t queries, size_t head_dim, size_t value_dim,
                                size_t block_size) {
  const size_t laid_out = head_dim + (value_dim + 15) / 16 * 16;
  return (queries + laid_out + 16) * block_size + (queries * head_dim + 1) / 2;
}

// Tiles for many rows, where they are others: on a matrix unit, or over widened codes. The arrays
// are indexed as KernelTable::dot_tile.
struct TallTiles {
  size_t rows;               // most rows of codes in a tile
  size_t runs[2];            // bytes of a row that lie side by side, the better first
  size_t int8_bytes;         // of an input that was rounded to int8
  size_t from[kDotFormats];  // the rows of x from which on they compute; SIZE_MAX: never
  void (*tile[kDotFormats])(const DotTile& tile, size_t rows);
  // Codes of `count` inputs of a panel to what the tile reads; null: it reads them as they lie.
  void (*expand[kDotFormats])(const void* codes, size_t count, uint8_t* out);
};

struct KernelTable {
  size_t panel_rows;       // weight rows interleaved in a panel
  size_t tile_rows;        // most rows of x in a tile
  size_t dot_tile_rows;    // most rows of int8 inputs in a tile
  int int8_bias;           // added to the codes of kInt8Dot, which are then unsigned; or 0
  bool bfloat16_products;  // whether kBFloat16Dot is computed here
  // Indexed by WeightFormat.
  void (*linear_tile[kFloatFormats])(const LinearTile& tile, size_t rows);
  // Indexed by WeightFormat - kFloatFormats.
  void (*dot_tile[kDotFormats])(const DotTile& tile, size_t rows);
  TallTiles tall;
  // Rounds n inputs to codes of -127 to 127 by the scale max |x| / 127, or by `scale` where that is
  // not 0. Returns the scale; NaN where an input is no number. *sum is the codes' sum.
  float (*round_int8)(const float* x, size_t n, float scale, int8_t* codes, float* sum);
  // Rounds n numbers to bfloat16, halves to even; what is no number stays none. And back.
  void (*round_bfloat16)(const float* x, size_t n, uint16_t* out);
  void (*widen_bfloat16)(const uint16_t* x, size_t n, float* out);
  // Rounds n inputs to what e4m3 holds times `scale`, or, where that is 0, times max |x| / 448.
  void (*round_float8)(const float* x, size_t n, float scale, float* out);
  // Indexed by WeightFormat: the rows of x from which on expanding codes beats decoding them for
  // every tile; SIZE_MAX: never.
  size_t expand_rows[kFloatFormats];
  // Codes of `count` inputs of a panel to float [count, panel_rows], not scaled.
  void (*expand[kFloatFormats])(const void* codes, size_t count, float* out);
  void (*rms_norm)(const float* x, const float* weight, float eps, size_t n, float* y);
  // bias may be null.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, size_t n,
                     float* y);
  // Rotate x[0 : 2 * pairs] in place; cos and sin are [pairs].
  void (*rope_half)(float* x, const float* cos, const float* sin, size_t pairs);
  void (*rope_interleaved)(float* x, const float* cos, const float* sin, size_t pairs);
  // Indexed by Activation; y may be x.
  void (*activate[kActivations])(const float* x, size_t n, float* y);
  // y = activation(gate) * up; y may be gate or up.
  void (*activate_gated[kActivations])(const float* gate, const float* up, size_t n, float* y);
  void (*add_scaled)(const float* x, float factor, size_t n, float* y);  // y += factor * x
  void (*adapt)(const AdapterTile& tile);
  // Indexed by CacheLayout. Queries that share one pass over the blocks: enough to use a block many
  // times while it is in cache, few enough that their state stays there too; whole tiles.
  size_t attend_queries[kCacheLayouts];
  // Indexed by CacheLayout. Attention over the item's keys, to its states; not yet to its output.
  void (*attend[kCacheLayouts])(const AttentionItem& item);
  // Adds states of later keys, `from`, to the item's.
  void (*merge_attention)(const AttentionItem& item, float* from);
  void (*finish_attention)(const AttentionItem& item);  // states to output
  // out[j * out_stride + i] = in[i * in_stride + j] for i < rows, j < columns.
  void (*transpose16)(const uint16_t* in, size_t in_stride, size_t rows, size_t columns,
                      uint16_t* out, size_t out_stride);
  void (*transpose32)(const uint32_t* in, size_t in_stride, size_t rows, size_t columns,
                      uint32_t* out, size_t out_stride);
  // Indexed by the FloatType of w, then of out.
  void (*merge_rows[kFloatTypes][kFloatTypes])(const LowRankRows& part);
};

const KernelTable& scalar_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const KernelTable& avx512bf16_table();  // with VNNI and BF16
const KernelTable& amx_table();         // with AMX for int8 and bfloat16 besides

}  // namespace llm_kernels
