// Low-rank adapters beside the linears (Hu et al. 2021, arXiv:2106.09685): any number of them share
// the weights, and each sequence of a step is computed with its own or with none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "llm_kernels/linear.h"
#include "llm_kernels/paged_attention.h"

namespace llm_kernels {

class Adapters {
 public:
  // y += B (A x) for rows of adapter `number`: a [rank, K], b [rank, N], scaling included.
  void add(const PackedLinear* weight, std::size_t number, const float* a, const float* b,
           std::size_t rank);

  // The adapter of each sequence of the steps to come, -1 for none; empty: none at all.
  void choose(std::vector<std::int32_t> sequences) { sequences_ = std::move(sequences); }
  const std::vector<std::int32_t>& chosen() const { return sequences_; }

  // Which rows of this step have which adapter; before the first apply() of a step.
  void place(const SequenceBatch& batch);

  // What the adapters add to what linear() gave for x [rows, K]. Rows of x are those of the step.
  // A row's sum does not depend on the rows beside it.
  void apply(const KernelTable& table, ThreadPool& pool, const float* x, std::size_t rows,
             const std::vector<LinearPart>& parts) const;

 private:
  struct Pair {
    std::vector<float> a, b;
    std::size_t rank = 0;  // 0: this adapter leaves the linear alone
  };
  std::unordered_map<const PackedLinear*, std::vector<Pair>> pairs_;
  std::vector<std::int32_t> sequences_;
  std::vector<std::int32_t> rows_;
};

}  // namespace llm_kernels
