// Paged attention of one item, over the vector type of the including unit.
//
// Softmax runs online, block by block (Milakov and Gimelshein, arXiv:1805.02867). Keys of a block
// are stored dimension by dimension, so scores of neighbouring keys are neighbouring lanes and no
// sum runs across lanes. A block that a query does not see leaves its state exactly as it was: a
// row's result does not depend on the rows beside it.
#pragma once

#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kQueryTile = 4;

struct QueryState {
  float* scores;  // [block_size]
  float* out;     // [head_dim]
  float* highest;
  float* total;
};

inline QueryState state_of(const AttentionItem& item, size_t query) {
  const size_t queries = item.rows * item.heads;
  float* scores = item.scratch + query * item.block_size;
  float* out = item.scratch + queries * item.block_size + query * item.head_dim;
  float* highest = item.scratch + queries * (item.block_size + item.head_dim) + 2 * query;
  return {scores, out, highest, highest + 1};
}

inline const float* query_at(const AttentionItem& item, size_t query) {
  return item.q + query / item.heads * item.q_stride + query % item.heads * item.head_dim;
}

// q . k of `Vectors` vectors of keys for `Queries` queries.
template <int Queries, int Vectors>
inline void score_strip(const float* const* q, const float* keys, size_t head_dim,
                        size_t block_size, float scale, float* const* scores) {
  Vec acc[Queries][Vectors];
#pragma GCC unroll 4
  for (int n = 0; n < Queries; ++n) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) acc[n][v] = zero();
  }
  for (size_t d = 0; d < head_dim; ++d) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Vec k = load(keys + d * block_size + v * kWidth);
#pragma GCC unroll 4
      for (int n = 0; n < Queries; ++n) acc[n][v] = fma(set(q[n][d]), k, acc[n][v]);
    }
  }
#pragma GCC unroll 4
  for (int n = 0; n < Queries; ++n) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) store(scores[n] + v * kWidth, mul(acc[n][v], set(scale)));
  }
}

template <int Queries>
inline void score_block(const AttentionItem& item, size_t query, const float* keys) {
  const float* q[Queries];
  float* scores[Queries];
  for (int n = 0; n < Queries; ++n) {
    q[n] = query_at(item, query + n);
    scores[n] = state_of(item, query + n).scores;
  }
  constexpr int kStrip = Queries > 2 ? 2 : 4;
  size_t at = 0;
  const auto step = [&](size_t width) {
    at += width;
    for (int n = 0; n < Queries; ++n) scores[n] += width;
  };
  for (; at + kStrip * kWidth <= item.block_size; step(kStrip * kWidth)) {
    score_strip<Queries, kStrip>(q, keys + at, item.head_dim, item.block_size, item.scale, scores);
  }
  for (; at < item.block_size; step(kWidth)) {
    score_strip<Queries, 1>(q, keys + at, item.head_dim, item.block_size, item.scale, scores);
  }
}

// Scores [begin, end) to cap * tanh(score / cap).
inline void cap_scores(float* scores, int64_t begin, int64_t end, float cap) {
  const Vec twice = set(2.0f / cap);
  for (int64_t j = begin; j < end; j += static_cast<int64_t>(kWidth)) {
    const size_t left = static_cast<size_t>(end - j);
    const size_t live = left < kWidth ? left : kWidth;
    const Vec share = sigmoid(mul(load_live(scores + j, live), twice));
    store_first(scores + j, mul(set(cap), sub(add(share, share), set(1.0f))), live);
  }
}

// x rounded to bfloat16, halves to even.
inline float bfloat16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

// Adds ALiBi to the scores [begin, end) of the keys from `first_key` on.
inline void add_slope(const AttentionItem& item, size_t query, int64_t first_key, int64_t begin,
                      int64_t end, float* scores) {
  const int64_t index = item.first_index + static_cast<int64_t>(query / item.heads);
  const float slope = item.slopes[query % item.heads];
  for (int64_t j = begin; j < end; ++j) {
    const int64_t key = first_key + j;
    // A product that is rounded depends on the key's own position, not only on the distance.
    scores[j] += item.rounded_scale != 0.0f
                     ? bfloat16(slope * static_cast<float>(key)) * item.rounded_scale
                     : slope * static_cast<float>(key - index);
  }
}

// Scores of one query in the block of keys from `first_key` on, to exp(score - highest so far);
// what the query does not see becomes 0. Rescales the query's state to the new highest.
inline void softmax_block(const AttentionItem& item, size_t query, int64_t first_key) {
  const QueryState state = state_of(item, query);
  const int64_t index = item.first_index + static_cast<int64_t>(query / item.heads);
  const int64_t size = static_cast<int64_t>(item.block_size);
  int64_t end = (index + 1 > item.prefix ? index + 1 : item.prefix) - first_key;
  int64_t begin = item.window > 0 ? index + 1 - item.window - first_key : 0;
  end = end < size ? end : size;
  begin = begin > 0 ? begin : 0;
  for (int64_t j = 0; j < size && (j < begin || end <= begin); ++j) state.scores[j] = 0.0f;
  for (int64_t j = end > begin ? end : size; j < size; ++j) state.scores[j] = 0.0f;
  if (end <= begin) return;

  if (item.cap != 0.0f) cap_scores(state.scores, begin, end, item.cap);
  if (item.slopes) add_slope(item, query, first_key, begin, end, state.scores);
  float highest = state.scores[begin];
  for (int64_t j = begin + 1; j < end; ++j) {
    highest = state.scores[j] > highest ? state.scores[j] : highest;
  }
  highest = highest > *state.highest ? highest : *state.highest;

  Vec total = zero();
  const Vec top = set(highest);
  for (int64_t j = begin; j < end; j += static_cast<int64_t>(kWidth)) {
    const size_t left = static_cast<size_t>(end - j);
    const size_t live = left < kWidth ? left : kWidth;
    Vec p = exp(sub(load_live(state.scores + j, live), top));
    store_first(state.scores + j, p, live);
    total = add(total, live == kWidth ? p : load_first(state.scores + j, live));
  }
  float factor[kWidth];
  store(factor, exp(sub(set(*state.highest), top)));
  *state.total = *state.total * factor[0] + sum(total);
  *state.highest = highest;
  if (factor[0] == 1.0f) return;
  const Vec rescale = set(factor[0]);
  size_t d = 0;
  for (; d + kWidth <= item.head_dim; d += kWidth) {
    store(state.out + d, mul(load(state.out + d), rescale));
  }
  for (; d < item.head_dim; ++d) state.out[d] *= factor[0];
}

// out += p . v for `Queries` queries over the first `keys` keys of the block.
template <int Queries>
inline void weigh_block(const AttentionItem& item, size_t query, const float* values, size_t keys) {
  const float* p[Queries];
  float* out[Queries];
  for (int n = 0; n < Queries; ++n) {
    const QueryState state = state_of(item, query + n);
    p[n] = state.scores;
    out[n] = state.out;
  }
  for (size_t d = 0; d < item.head_dim; d += kWidth) {
    const size_t left = item.head_dim - d;
    const size_t live = left < kWidth ? left : kWidth;
    Vec acc[Queries];
#pragma GCC unroll 4
    for (int n = 0; n < Queries; ++n) acc[n] = load_live(out[n] + d, live);
    for (size_t j = 0; j < keys; ++j) {
      const Vec v = load_live(values + j * item.head_dim + d, live);
#pragma GCC unroll 4
      for (int n = 0; n < Queries; ++n) acc[n] = fma(set(p[n][j]), v, acc[n]);
    }
#pragma GCC unroll 4
    for (int n = 0; n < Queries; ++n) store_first(out[n] + d, acc[n], live);
  }
}

template <int Queries>
inline void visit_block(const AttentionItem& item, size_t query, const float* keys,
                        const float* values, int64_t first_key, size_t live_keys) {
  score_block<Queries>(item, query, keys);
  for (int n = 0; n < Queries; ++n) softmax_block(item, query + n, first_key);
  weigh_block<Queries>(item, query, values, live_keys);
}

void attend(const AttentionItem& item) {
  const size_t queries = item.rows * item.heads;
  for (size_t n = 0; n < queries; ++n) {
    const QueryState state = state_of(item, n);
    *state.highest = -3.4e38f;
    *state.total = 0.0f;
    for (size_t d = 0; d < item.head_dim; ++d) state.out[d] = 0.0f;
  }
  const int64_t size = static_cast<int64_t>(item.block_size);
  const int64_t last_row = item.first_index + static_cast<int64_t>(item.rows);
  const int64_t keys_end = last_row > item.prefix ? last_row : item.prefix;
  int64_t first = item.window > 0 ? item.first_index + 1 - item.window : 0;
  first = first > 0 ? first / size : 0;
  for (int64_t block = first; block * size < keys_end; ++block) {
    const size_t at = static_cast<size_t>(item.blocks[block]) * item.block_stride;
    const int64_t first_key = block * size;
    const size_t live =
        static_cast<size_t>(keys_end - first_key < size ? keys_end - first_key : size);
    const float* keys = item.keys + at;
    const float* values = item.values + at;
    size_t n = 0;
    for (; n + kQueryTile <= queries; n += kQueryTile) {
      visit_block<kQueryTile>(item, n, keys, values, first_key, live);
    }
    for (; n < queries; ++n) visit_block<1>(item, n, keys, values, first_key, live);
  }
  for (size_t n = 0; n < queries; ++n) {
    const QueryState state = state_of(item, n);
    float* out = item.out + n / item.heads * item.out_stride + n % item.heads * item.head_dim;
    const float total = *state.total;
    for (size_t d = 0; d < item.head_dim; ++d) out[d] = state.out[d] / total;
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
