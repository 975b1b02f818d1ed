// Paged attention of one item, over the vector type of the including unit.
//
// The keys of an item are visited block by block. With few queries, as in decoding, each number of
// a block is loaded once for all of them and the next block is fetched meanwhile. With many, a
// block is first laid out strip by strip as floats; a strip stays in the nearest cache while all
// tiles of queries meet it. A tile skips the strips that none of its queries sees; what only some
// of them see counts 0 for the others.
#pragma once

#include "kernels/attention_softmax.h"
#include "kernels/attention_tile.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// From how many tiles of queries on a block is laid out in strips.
constexpr size_t kPackTiles = 3;
constexpr size_t kAttendQueries = 72;
constexpr int kPackVectors = attend_vectors(kAttendRows);

// One block of the cache, as numbers of one kind.
template <class Items>
struct CacheBlock {
  using Item = typename Items::Item;
  const Item* keys;           // [head_dim, block_size]
  const Item* values;         // [block_size, value_dim]
  const float* key_scales;    // [block_size], or null
  const float* value_scales;  // likewise
  int64_t first_key;
  const Item* next_keys;  // of the block that follows, or of this
  const Item* next_values;
};

// How strips of a block lie: as in the cache, or one behind the other.
struct InPlace {
  static size_t offset(size_t at, size_t /*depth*/) { return at; }
  static size_t stride(size_t row, size_t /*strip*/) { return row; }
};
struct Packed {
  static size_t offset(size_t at, size_t depth) { return at * depth; }
  static size_t stride(size_t /*row*/, size_t strip) { return strip; }
};

inline const float* query_at(const AttentionItem& item, size_t query) {
  return item.q + query / item.heads * item.q_stride + query % item.heads * item.head_dim;
}

// What a tile of `rows` queries sees of a block, all of them together.
inline Span seen_by_tile(const AttentionItem& item, size_t query, size_t rows, int64_t first_key) {
  const int64_t first = static_cast<int64_t>(query / item.heads);
  const int64_t last = static_cast<int64_t>((query + rows - 1) / item.heads);
  return seen_of_block(item, first, last, first_key);
}

// Scores of `tiles` tiles of `Rows` queries from place `at` of the block on.
template <class Items, class Layout, int Rows, int Vectors>
inline void score_strips(const AttentionItem& item, const CacheBlock<Items>& block, size_t query,
                         size_t tiles, size_t at) {
  constexpr size_t kStrip = Vectors * kWidth;
  const size_t stride = Layout::stride(item.block_size, kStrip);
  for (; at + kStrip <= item.block_size; at += kStrip) {
    const auto* keys = block.keys + Layout::offset(at, item.head_dim);
    const Ahead ahead = {block.next_keys + at * item.head_dim, kStrip * sizeof(*keys)};
    for (size_t tile = query; tile < query + tiles * Rows; tile += Rows) {
      const Span seen = seen_by_tile(item, tile, Rows, block.first_key);
      if (at >= seen.end || at + kStrip <= seen.begin) continue;
      const float* q[Rows];
      float* scores[Rows];
      for (int n = 0; n < Rows; ++n) {
        q[n] = query_at(item, tile + n);
        scores[n] = item.scratch + (tile + n) * item.block_size + at;
      }
      score_strip<Items, Rows, Vectors>(q, keys, stride, item.head_dim, item.scale, ahead, scores);
    }
  }
  if constexpr (Vectors > 1) {
    score_strips<Items, Layout, Rows, Vectors / 2>(item, block, query, tiles, at);
  }
}

// Their values, from dimension `at` on.
template <class Items, class Layout, int Rows, int Vectors>
inline void weigh_strips(const AttentionItem& item, const CacheBlock<Items>& block, size_t query,
                         size_t tiles, size_t at) {
  constexpr size_t kStrip = Vectors * kWidth;
  const size_t stride = Layout::stride(item.value_dim, kStrip);
  for (; at < item.value_dim && (Vectors == 1 || at + kStrip <= item.value_dim); at += kStrip) {
    const auto* values = block.values + Layout::offset(at, item.block_size);
    const Ahead ahead = {block.next_values + at * item.block_size, kStrip * sizeof(*values)};
    const size_t live = item.value_dim - at;
    for (size_t tile = query; tile < query + tiles * Rows; tile += Rows) {
      const Span seen = seen_by_tile(item, tile, Rows, block.first_key);
      if (seen.end <= seen.begin) continue;
      const float* p[Rows];
      float* out[Rows];
      for (int n = 0; n < Rows; ++n) {
        p[n] = item.scratch + (tile + n) * item.block_size;
        out[n] = item.states + (tile + n) * item.value_dim + at;
      }
      if (live < kWidth) {
        weigh_rest<Items, Rows>(p, values, stride, seen, live, out);
      } else {
        weigh_strip<Items, Rows, Vectors>(p, values, stride, seen, ahead, out);
      }
    }
  }
  if constexpr (Vectors > 1) {
    weigh_strips<Items, Layout, Rows, Vectors / 2>(item, block, query, tiles, at);
  }
}

template <class Items, class Layout, int Rows, int Vectors>
inline void visit_tiles(const AttentionItem& item, const CacheBlock<Items>& block, size_t query,
                        size_t tiles) {
  score_strips<Items, Layout, Rows, Vectors>(item, block, query, tiles, 0);
  for (size_t n = query; n < query + tiles * Rows; ++n) {
    softmax_block(item, n, block.first_key, block.key_scales, block.value_scales);
  }
  weigh_strips<Items, Layout, Rows, Vectors>(item, block, query, tiles, 0);
}

// The last `rest` queries, fewer than a whole tile. Packed strips have one width for all tiles.
template <class Items, class Layout, int PackVectors, int Rows = kAttendRows - 1>
inline void visit_rest(const AttentionItem& item, const CacheBlock<Items>& block, size_t rest) {
  if (rest == Rows) {
    constexpr int kVectors = PackVectors > 0 ? PackVectors : attend_vectors(Rows);
    visit_tiles<Items, Layout, Rows, kVectors>(item, block, item.rows * item.heads - rest, 1);
  } else if constexpr (Rows > 1) {
    visit_rest<Items, Layout, PackVectors, Rows - 1>(item, block, rest);
  }
}

template <class Items, class Layout, int PackVectors>
inline void visit_block(const AttentionItem& item, const CacheBlock<Items>& block) {
  const size_t tiles = item.rows * item.heads / kAttendRows;
  if (tiles > 0) {
    visit_tiles<Items, Layout, kAttendRows, kPackVectors>(item, block, 0, tiles);
  }
  visit_rest<Items, Layout, PackVectors>(item, block, item.rows * item.heads % kAttendRows);
}

template <class Items>
inline CacheBlock<Items> block_at(const AttentionItem& item, int64_t index, int64_t next) {
  const size_t block = static_cast<size_t>(item.blocks[index]);
  const size_t after = static_cast<size_t>(item.blocks[next]);
  const auto* keys = static_cast<const typename Items::Item*>(item.keys);
  const auto* values = static_cast<const typename Items::Item*>(item.values);
  const size_t scales = block * item.scale_stride;
  return {keys + block * item.key_stride,
          values + block * item.value_stride,
          item.key_scales ? item.key_scales + scales : nullptr,
          item.value_scales ? item.value_scales + scales : nullptr,
          index * static_cast<int64_t>(item.block_size),
          keys + after * item.key_stride,
          values + after * item.value_stride};
}

// Rows of `size` numbers, `count` of them, to strips of floats one behind the other. A last strip
// of less than a vector is filled up with zeros.
template <class Items, int Vectors>
inline void pack_strips(const typename Items::Item* from, size_t count, size_t size, size_t at,
                        float* to) {
  constexpr size_t kStrip = Vectors * kWidth;
  for (; at < size && (Vectors == 1 || at + kStrip <= size); at += kStrip) {
    float* strip = to + at * count;
    for (size_t k = 0; k < count; ++k) {
      const auto* row = from + k * size + at;
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        const size_t left = size - at;
        const Vec x = left < kWidth ? load_items<Items>(row, left) : Items::load(row + v * kWidth);
        store(strip + k * kStrip + v * kWidth, x);
      }
    }
  }
  if constexpr (Vectors > 1) pack_strips<Items, Vectors / 2>(from, count, size, at, to);
}

// The block in strips, in the item's scratch.
template <class Items>
inline CacheBlock<Float32Items> packed(const AttentionItem& item, const CacheBlock<Items>& block) {
  float* keys = item.scratch + item.rows * item.heads * item.block_size;
  float* values = keys + item.head_dim * item.block_size;
  pack_strips<Items, kPackVectors>(block.keys, item.head_dim, item.block_size, 0, keys);
  pack_strips<Items, kPackVectors>(block.values, item.block_size, item.value_dim, 0, values);
  return {keys, values, block.key_scales, block.value_scales, block.first_key, nullptr, nullptr};
}

inline void start_states(const AttentionItem& item) {
  const size_t queries = item.rows * item.heads;
  for (size_t d = 0; d < queries * item.value_dim; ++d) item.states[d] = 0.0f;
  for (size_t n = 0; n < queries; ++n) {
    const QueryState state = state_of(item, n);
    *state.highest = kLowest;
    *state.total = 0.0f;
  }
}

// visit(block) for each block of which the item sees anything.
template <class Items, class Visit>
inline void visit_blocks(const AttentionItem& item, const Visit& visit) {
  const int64_t size = static_cast<int64_t>(item.block_size);
  const int64_t last_row = item.first_index + static_cast<int64_t>(item.rows);
  int64_t end = last_row > item.prefix ? last_row : item.prefix;
  end = end < item.end_key ? end : item.end_key;
  int64_t begin = item.window > 0 ? item.first_index + 1 - item.window : 0;
  begin = begin > item.first_key ? begin : item.first_key;
  for (int64_t index = begin / size; index * size < end; ++index) {
    visit(block_at<Items>(item, index, (index + 1) * size < end ? index + 1 : index));
  }
}

template <class Items>
void attend(const AttentionItem& item) {
  start_states(item);
  visit_blocks<Items>(item, [&](const CacheBlock<Items>& block) {
    if (item.rows * item.heads >= kPackTiles * kAttendRows) {
      visit_block<Float32Items, Packed, kPackVectors>(item, packed(item, block));
    } else {
      visit_block<Items, InPlace, 0>(item, block);
    }
  });
}

// The states of later keys, `from`, into those of the item.
void merge_attention(const AttentionItem& item, float* from) {
  AttentionItem other = item;
  other.states = from;
  for (size_t n = 0; n < item.rows * item.heads; ++n) {
    const QueryState into = state_of(item, n);
    const QueryState later = state_of(other, n);
    if (*later.total == 0.0f) continue;  // nothing was seen there
    const float highest = *later.highest > *into.highest ? *later.highest : *into.highest;
    const float old_factor = exp_of(*into.highest - highest);
    const float new_factor = exp_of(*later.highest - highest);
    scale_by(old_factor, item.value_dim, into.out);
    add_scaled(later.out, new_factor, item.value_dim, into.out);
    *into.total = *into.total * old_factor + *later.total * new_factor;
    *into.highest = highest;
  }
}

// The item's states to its output.
void finish_attention(const AttentionItem& item) {
  for (size_t n = 0; n < item.rows * item.heads; ++n) {
    const QueryState state = state_of(item, n);
    float* out = item.out + n / item.heads * item.out_stride + n % item.heads * item.value_dim;
    const float total = *state.total / item.value_scale;
    for (size_t d = 0; d < item.value_dim; ++d) out[d] = state.out[d] / total;
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
