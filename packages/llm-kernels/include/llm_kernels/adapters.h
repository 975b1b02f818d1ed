// Low-rank adapters beside the linears (Hu et al. 2021, arXiv:2106.09685): any number of them share
// the weights, and each sequence of a step is computed with its own or with none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "llm_kernels/linear.h"
#include "llm_kernels/paged_attention.h"

namespace llm_kernels {

class Adapters {
 public:
  // y += B (A x) for rows of adapter `number`: a [rank, K], b [rank, N], scaling included.
  void add(const PackedLinear* weight, std::int32_t number, const float* a, const float* b,
           std::size_t rank);

  bool has(std::int32_t number) const { return numbers_.count(number) > 0; }

  // Which rows of a step have which adapter: `sequences` [batch.sequences], -1 for none; null: none
  // at all. Before the first apply() of the step.
  void place(const SequenceBatch& batch, const std::int32_t* sequences);

  // Whether a row of the step has one.
  bool placed() const { return !tiles_.empty(); }

  // What the adapters add to what linear() gave for x [rows of the step, K]. A row's sum does not
  // depend on the rows beside it.
  void apply(const KernelTable& table, ThreadPool& pool, const float* x,
             const std::vector<LinearPart>& parts);

 private:
  struct Pair {
    std::vector<float> a, b;
    std::size_t rank;
  };
  // Rows of one adapter, for which its matrices are read once.
  struct Tile {
    std::int32_t number;
    std::size_t first;  // of rows_
    std::size_t count;
  };
  // A tile that meets a part.
  struct Meeting {
    const Pair* pair;
    const Tile* tile;
    const LinearPart* part;
  };

  std::vector<Meeting> meetings(const std::vector<LinearPart>& parts) const;

  std::unordered_map<const PackedLinear*, std::unordered_map<std::int32_t, Pair>> pairs_;
  std::unordered_set<std::int32_t> numbers_;
  std::vector<std::size_t> rows_;  // of the step that have one, adapter after adapter
  std::vector<Tile> tiles_;
  std::vector<GrowingBuffer<float>> narrow_;  // one a thread: A x of a tile
};

}  // namespace llm_kernels
