// Attention over a cache in bfloat16 on a matrix unit, by tiles of up to 32 queries.
//
// Queries, multiplied by the scale of the scores, and the shares of the keys are rounded to
// bfloat16; products are added in float, softmax and its sums are float as everywhere. Blocks are
// laid out in pairs of rows, as the unit reads them. A query meets a block in the same steps
// whatever the queries beside it.
#pragma once

#include "kernels/attention.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kRunNumbers = 32;
constexpr size_t kRunBytes = 64;
constexpr size_t kBFloat16Queries = 2 * kMatrixRows;

// Where the tiles' numbers lie in the item's scratch, behind the scores.
struct MatrixRoom {
  uint16_t* queries;  // [tile][run of head_dim][query][32]
  uint16_t* shares;   // of one tile: [run of keys][query][32]
  uint16_t* keys;     // [head_dim / 2][block_size][2]
  uint16_t* values;   // [block_size / 2][value_dim][2]
};

inline MatrixRoom room_of(const AttentionItem& item) {
  const size_t queries = item.rows * item.heads;
  auto* next = reinterpret_cast<uint16_t*>(item.scratch + queries * item.block_size);
  MatrixRoom room = {};
  room.keys = next;
  next += item.head_dim * item.block_size;
  room.values = next;
  next += item.block_size * item.value_dim;
  room.shares = next;
  next += kMatrixRows * item.block_size;
  room.queries = next;
  return room;
}

inline bool fits_matrix(const AttentionItem& item) {
  return item.head_dim % kRunNumbers == 0 && item.value_dim % kRunNumbers == 0 &&
         item.block_size % kRunNumbers == 0;
}

// Row `m` of a tile of `rows`, [n / 32][rows][32], from n floats times `factor`.
inline void round_row(const float* from, size_t n, float factor, size_t rows, size_t m,
                      uint16_t* tile) {
  const Vec by = set(factor);
  uint16_t* to = tile + m * kRunNumbers;
  for (size_t i = 0; i < n; i += kRunNumbers, to += rows * kRunNumbers) {
    store_bfloat16(to, mul(load(from + i), by), mul(load(from + i + kWidth), by));
  }
}

// `rows` rows of n numbers, of which those from `live` on count as zeros, to pairs; what lies at
// `ahead`, as long, is fetched meanwhile.
inline void pair_rows(const uint16_t* from, size_t rows, size_t n, size_t live,
                      const uint16_t* ahead, uint16_t* to) {
  alignas(64) static constexpr uint16_t kZeros[kRunNumbers] = {};
  for (size_t row = 0; row < rows; row += 2, from += 2 * n, ahead += 2 * n, to += 2 * n) {
    for (size_t at = 0; at < n; at += kRunNumbers) {
      __builtin_prefetch(ahead + at);
      __builtin_prefetch(ahead + n + at);
      const uint16_t* first = row < live ? from + at : kZeros;
      const uint16_t* second = row + 1 < live ? from + n + at : kZeros;
      store_pairs(to + 2 * at, first, second);
    }
  }
}

template <Shape shape>
inline void score_tile(const AttentionItem& item, const MatrixRoom& room, const uint16_t* queries,
                       size_t rows, Span seen, float* scores) {
  const size_t stride = 4 * item.block_size;
  for (size_t at = 0; at < item.block_size; at += kRunNumbers) {
    if (at >= seen.end || at + kRunNumbers <= seen.begin) continue;
    const auto* x = reinterpret_cast<const int8_t*>(queries);
    const auto* keys = reinterpret_cast<const uint8_t*>(room.keys) + 4 * at;
    clear_sums();
    for (size_t d = 0; d < item.head_dim; d += kRunNumbers) {
      BFloat16Matrix::meet<shape>(x, kRunBytes, keys, stride);
      x += rows * kRunBytes;
      keys += kRunNumbers / 2 * stride;
    }
    store_sums<shape>(scores + at, stride);
  }
}

template <Shape shape>
inline void weigh_tile(const AttentionItem& item, const MatrixRoom& room, size_t rows, Span seen,
                       float* out) {
  const size_t stride = 4 * item.value_dim;
  const size_t first = seen.begin / kRunNumbers;
  const size_t last = (seen.end + kRunNumbers - 1) / kRunNumbers;
  for (size_t at = 0; at < item.value_dim; at += kRunNumbers) {
    const auto* x = reinterpret_cast<const int8_t*>(room.shares) + first * rows * kRunBytes;
    const auto* values =
        reinterpret_cast<const uint8_t*>(room.values) + 4 * at + first * (kRunNumbers / 2) * stride;
    load_sums<shape>(out + at, stride);
    for (size_t run = first; run < last; ++run) {
      BFloat16Matrix::meet<shape>(x, kRunBytes, values, stride);
      x += rows * kRunBytes;
      values += kRunNumbers / 2 * stride;
    }
    store_sums<shape>(out + at, stride);
  }
}

// Queries [query, query + rows) meet a block.
template <Shape shape>
inline void visit_tile(const AttentionItem& item, const MatrixRoom& room, int64_t first_key,
                       size_t query, size_t rows) {
  const Span seen = seen_by_tile(item, query, rows, first_key);
  if (seen.end <= seen.begin) return;
  float* scores = item.scratch + query * item.block_size;
  score_tile<shape>(item, room, room.queries + query * item.head_dim, rows, seen, scores);
  for (size_t m = 0; m < rows; ++m) {
    softmax_block(item, query + m, first_key, nullptr, nullptr);
    round_row(scores + m * item.block_size, item.block_size, 1.0f, rows, m, room.shares);
  }
  weigh_tile<shape>(item, room, rows, seen, item.states + query * item.value_dim);
}

inline void attend_bfloat16(const AttentionItem& item) {
  if (!fits_matrix(item)) return attend<BFloat16Items>(item);
  start_states(item);
  const MatrixRoom room = room_of(item);
  const size_t queries = item.rows * item.heads;
  const auto rows_from = [&](size_t query) {
    return queries - query < kMatrixRows ? queries - query : kMatrixRows;
  };
  for (size_t n = 0; n < queries; ++n) {
    const size_t query = n / kMatrixRows * kMatrixRows;
    round_row(query_at(item, n), item.head_dim, item.scale, rows_from(query), n - query,
              room.queries + query * item.head_dim);
  }
  Tiles tiles(rows_from(0), kRunBytes);
  visit_blocks<BFloat16Items>(item, [&](const CacheBlock<BFloat16Items>& block) {
    const size_t live = seen_by_tile(item, 0, queries, block.first_key).end;
    pair_rows(block.keys, item.head_dim, item.block_size, item.head_dim, block.next_keys,
              room.keys);
    pair_rows(block.values, item.block_size, item.value_dim, live, block.next_values, room.values);
    for (size_t query = 0; query < queries; query += kMatrixRows) {
      const size_t rows = rows_from(query);
      tiles.shape(rows);
      if (rows > kTileSide) {
        visit_tile<Shape::tall>(item, room, block.first_key, query, rows);
      } else {
        visit_tile<Shape::small>(item, room, block.first_key, query, rows);
      }
    }
  });
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
