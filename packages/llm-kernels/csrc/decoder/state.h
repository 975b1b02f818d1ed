// What one step computes with, besides the weights.
#pragma once

#include "llm_kernels/decoder.h"

namespace llm_kernels {

struct Decoder::State {
  SequenceBatch batch;
  std::size_t rows;
  float* x;                        // [rows, hidden], what a block adds to
  float* residual;                 // [rows, hidden]; x, unless a block's answer is normed first
  std::vector<float> cos;          // [channels, rows, pairs]
  std::vector<float> sin;          // likewise
  std::vector<float> query_scale;  // [rows]; empty: none
  std::vector<CacheSlot> slots;    // [rows]
  AttentionPlan plan;              // the same for every layer
};

// Storage for at least `count` floats; what it held is lost when it grows.
inline float* grown(std::vector<float>& storage, std::size_t count) {
  if (storage.size() < count) storage.resize(count);
  return storage.data();
}

}  // namespace llm_kernels
