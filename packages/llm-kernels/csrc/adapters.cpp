#include "llm_kernels/adapters.h"

#include <algorithm>

namespace llm_kernels {
namespace {

constexpr std::size_t kLanes = 8;

// In lanes, which the compiler keeps in vector registers; their order is the same for every row.
float dot(const float* a, const float* x, std::size_t n) {
  float lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * x[i + lane];
  }
  float sum = 0.0f;
  for (; i < n; ++i) sum += a[i] * x[i];
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void Adapters::add(const PackedLinear* weight, std::int32_t number, const float* a, const float* b,
                   std::size_t rank) {
  pairs_[weight][number] = {{a, a + rank * weight->inputs()}, {b, b + rank * weight->rows()}, rank};
  numbers_.insert(number);
}

void Adapters::place(const SequenceBatch& batch, const std::int32_t* sequences) {
  rows_.clear();
  if (sequences == nullptr) return;
  rows_.resize(batch.rows());
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    std::fill(rows_.begin() + batch.query_start[s], rows_.begin() + batch.query_start[s + 1],
              sequences[s]);
  }
}

void Adapters::apply(const KernelTable& table, ThreadPool& pool, const float* x, std::size_t rows,
                     const std::vector<LinearPart>& parts) const {
  if (rows_.empty()) return;
  for (const LinearPart& part : parts) {
    const auto found = pairs_.find(part.weight);
    if (found == pairs_.end()) continue;
    const auto& pairs = found->second;
    const std::size_t inputs = part.weight->inputs(), outputs = part.weight->rows();
    pool.run(rows, [&](std::size_t row, int) {
      const auto chosen = pairs.find(rows_[row]);
      if (chosen == pairs.end()) return;
      const Pair& pair = chosen->second;
      for (std::size_t j = 0; j < pair.rank; ++j) {
        const float narrow = dot(pair.a.data() + j * inputs, x + row * inputs, inputs);
        table.add_scaled(pair.b.data() + j * outputs, narrow, outputs,
                         part.y + row * part.y_stride);
      }
    });
  }
}

}  // namespace llm_kernels
