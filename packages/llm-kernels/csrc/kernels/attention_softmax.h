// The scores of one query in one block: cap, bias, mask, and the online softmax (Milakov and
// Gimelshein, arXiv:1805.02867), over the vector type of the including unit.
#pragma once

#include "bfloat16.h"
#include "kernels/attention_tile.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr float kLowest = -3.4e38f;  // below every score; its exp is exactly 0

// Where a query's numbers are.
struct QueryState {
  float* scores;   // [block_size] of the block at hand
  float* out;      // [value_dim], the sum of p * value so far
  float* highest;  // the highest score so far
  float* total;    // the sum of p so far
};

inline QueryState state_of(const AttentionItem& item, size_t query) {
  float* ends = item.states + item.rows * item.heads * item.value_dim + 2 * query;
  return {item.scratch + query * item.block_size, item.states + query * item.value_dim, ends,
          ends + 1};
}

// What the rows `first` to `last` of the item see together of the block of keys from `first_key`
// on.
inline Span seen_of_block(const AttentionItem& item, int64_t first, int64_t last,
                          int64_t first_key) {
  const int64_t size = static_cast<int64_t>(item.block_size);
  const int64_t past = item.first_index + last + 1;
  int64_t end = (past > item.prefix ? past : item.prefix) - first_key;
  int64_t begin = item.window > 0 ? item.first_index + first + 1 - item.window - first_key : 0;
  end = end < size ? end : size;
  begin = begin > 0 ? begin : 0;
  if (end <= begin) return {0, 0};
  return {static_cast<size_t>(begin), static_cast<size_t>(end)};
}

// Scores to cap * tanh(score / cap).
inline void cap_scores(float* scores, size_t size, float cap) {
  const Vec twice = set(2.0f / cap);
  for (size_t j = 0; j < size; j += kWidth) {
    const Vec share = sigmoid(mul(load(scores + j), twice));
    store(scores + j, mul(set(cap), sub(add(share, share), set(1.0f))));
  }
}

// Adds ALiBi to the scores of the keys from `first_key` on.
inline void add_slope(const AttentionItem& item, size_t query, int64_t first_key, float* scores) {
  const float slope = item.slopes[query % item.heads];
  if (item.rounded_scale != 0.0f) {
    // A product that is rounded depends on the key's own position, not only on the distance.
    for (size_t j = 0; j < item.block_size; ++j) {
      const float key = static_cast<float>(first_key + static_cast<int64_t>(j));
      scores[j] += float_of_bfloat16(bfloat16_of(slope * key)) * item.rounded_scale;
    }
    return;
  }
  float lanes[kWidth];
  for (size_t i = 0; i < kWidth; ++i) lanes[i] = static_cast<float>(i);
  const Vec lane = load(lanes);
  const int64_t index = item.first_index + static_cast<int64_t>(query / item.heads);
  for (size_t j = 0; j < item.block_size; j += kWidth) {
    const float first = static_cast<float>(first_key - index + static_cast<int64_t>(j));
    store(scores + j, fma(set(slope), add(set(first), lane), load(scores + j)));
  }
}

inline void multiply_by(const float* factors, size_t size, float* x) {
  for (size_t j = 0; j < size; j += kWidth) store(x + j, mul(load(x + j), load(factors + j)));
}

inline float highest_of(const float* scores, size_t size) {
  Vec most = set(kLowest);
  for (size_t j = 0; j < size; j += kWidth) most = max(most, load(scores + j));
  return highest(most);
}

inline void scale_by(float factor, size_t size, float* x) {
  const Vec by = set(factor);
  size_t d = 0;
  for (; d + kWidth <= size; d += kWidth) store(x + d, mul(load(x + d), by));
  for (; d < size; ++d) x[d] *= factor;
}

inline float exp_of(float x) {
  float lanes[kWidth];
  store(lanes, exp(set(x)));
  return lanes[0];
}

// Scores of one query in a block to exp(score - highest so far), times the scales of the values; 0
// for what it does not see. Rescales the query's state to the new highest; a block of which the
// query sees nothing leaves the state as it was.
inline void softmax_block(const AttentionItem& item, size_t query, int64_t first_key,
                          const float* key_scales, const float* value_scales) {
  const QueryState state = state_of(item, query);
  const size_t size = item.block_size;
  const int64_t row = static_cast<int64_t>(query / item.heads);
  const Span seen = seen_of_block(item, row, row, first_key);
  if (seen.end > seen.begin) {
    if (key_scales) multiply_by(key_scales, size, state.scores);
    if (item.cap != 0.0f) cap_scores(state.scores, size, item.cap);
    if (item.slopes) add_slope(item, query, first_key, state.scores);
  }
  for (size_t j = 0; j < seen.begin; ++j) state.scores[j] = kLowest;
  for (size_t j = seen.end; j < size; ++j) state.scores[j] = kLowest;
  if (seen.end <= seen.begin) {
    for (size_t j = 0; j < size; ++j) state.scores[j] = 0.0f;
    return;
  }
  float highest = highest_of(state.scores, size);
  highest = highest > *state.highest ? highest : *state.highest;
  Vec total = zero();
  const Vec top = set(highest);
  for (size_t j = 0; j < size; j += kWidth) {
    const Vec p = exp(sub(load(state.scores + j), top));
    store(state.scores + j, p);
    total = add(total, p);
  }
  if (value_scales) multiply_by(value_scales, size, state.scores);
  const float factor = highest == *state.highest ? 1.0f : exp_of(*state.highest - highest);
  *state.total = *state.total * factor + sum(total);
  *state.highest = highest;
  if (factor != 1.0f) scale_by(factor, item.value_dim, state.out);
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
