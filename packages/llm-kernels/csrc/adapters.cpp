#include "llm_kernels/adapters.h"

#include <algorithm>
#include <map>

namespace llm_kernels {
namespace {

// Few enough that the rows of x stay in the second cache, and that threads have something to share.
constexpr std::size_t kTileRows = 8;

}  // namespace

void Adapters::add(const PackedLinear* weight, std::int32_t number, const float* a, const float* b,
                   std::size_t rank) {
  pairs_[weight][number] = {{a, a + rank * weight->inputs()}, {b, b + rank * weight->rows()}, rank};
  numbers_.insert(number);
}

void Adapters::place(const SequenceBatch& batch, const std::int32_t* sequences) {
  rows_.clear();
  tiles_.clear();
  if (sequences == nullptr) return;
  std::map<std::int32_t, std::vector<std::size_t>> of_each;
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    if (sequences[s] < 0) continue;
    std::vector<std::size_t>& rows = of_each[sequences[s]];
    for (std::int32_t row = batch.query_start[s]; row < batch.query_start[s + 1]; ++row) {
      rows.push_back(static_cast<std::size_t>(row));
    }
  }
  for (const auto& [number, rows] : of_each) {
    for (std::size_t first = 0; first < rows.size(); first += kTileRows) {
      tiles_.push_back({number, rows_.size() + first, std::min(kTileRows, rows.size() - first)});
    }
    rows_.insert(rows_.end(), rows.begin(), rows.end());
  }
}

std::vector<Adapters::Meeting> Adapters::meetings(const std::vector<LinearPart>& parts) const {
  std::vector<Meeting> found;
  for (const LinearPart& part : parts) {
    const auto pairs = pairs_.find(part.weight);
    if (pairs == pairs_.end()) continue;
    for (const Tile& tile : tiles_) {
      const auto pair = pairs->second.find(tile.number);
      if (pair != pairs->second.end()) found.push_back({&pair->second, &tile, &part});
    }
  }
  return found;
}

void Adapters::apply(const KernelTable& table, ThreadPool& pool, const float* x,
                     const std::vector<LinearPart>& parts) {
  if (tiles_.empty()) return;
  const std::vector<Meeting> tasks = meetings(parts);
  std::size_t most = 0;
  for (const Meeting& task : tasks) most = std::max(most, task.pair->rank * kTileRows);
  narrow_.resize(static_cast<std::size_t>(pool.threads()));
  for (GrowingBuffer<float>& room : narrow_) room.reserve(most);
  pool.run(tasks.size(), [&](std::size_t index, int thread) {
    const auto& [pair, tile, part] = tasks[index];
    table.adapt({pair->a.data(), pair->b.data(), x, part->y, rows_.data() + tile->first,
                 narrow_[static_cast<std::size_t>(thread)].data(), part->y_stride, tile->count,
                 pair->rank, part->weight->inputs(), part->weight->rows()});
  });
}

}  // namespace llm_kernels
