// How the attention of a step is cut into work for the threads.
#include <algorithm>

#include "llm_kernels/paged_attention.h"

namespace llm_kernels {
namespace {

// Most heads of a task: beyond, a step of one row would leave threads without work.
constexpr std::size_t kHeadsPerTask = 32;
constexpr std::size_t kSplitKeys = 256;
constexpr std::size_t kTasksPerThread = 4;

// Keys that the rows up to `last` of the sequence see.
std::size_t keys_seen(const SequenceBatch& batch, std::size_t s, std::size_t last) {
  const auto rows_after = static_cast<std::size_t>(batch.query_start[s + 1]) - last;
  const std::size_t seen = static_cast<std::size_t>(batch.context_length[s]) - rows_after + 1;
  return batch.prefix_length ? std::max(seen, static_cast<std::size_t>(batch.prefix_length[s]))
                             : seen;
}

class Planner {
 public:
  Planner(const SequenceBatch& batch, const CacheShape& shape, std::size_t heads, int threads,
          std::size_t queries)
      : batch_(batch),
        kv_heads_(shape.kv_heads),
        share_(heads / shape.kv_heads),
        part_(split_keys(shape.block_size)),
        queries_(queries) {
    std::size_t work = 0;
    for (std::size_t s = 0; s < batch.sequences; ++s) {
      const auto rows = static_cast<std::size_t>(batch.query_start[s + 1] - batch.query_start[s]);
      work += rows * static_cast<std::size_t>(batch.context_length[s]) * heads;
    }
    most_work_ =
        threads > 1 ? work / (kTasksPerThread * static_cast<std::size_t>(threads)) + 1 : SIZE_MAX;
  }

  AttentionPlan plan() {
    for (std::size_t s = 0; s < batch_.sequences; ++s) {
      for (std::size_t kv_head = 0; kv_head < kv_heads_; ++kv_head) {
        for (std::size_t head = 0; head < share_; head += kHeadsPerTask) {
          add_rows(s, kv_head, kv_head * share_ + head, std::min(kHeadsPerTask, share_ - head));
        }
      }
    }
    return std::move(plan_);
  }

 private:
  // From the last rows on, which have most to do: what is left for the end is small.
  void add_rows(std::size_t s, std::size_t kv_head, std::size_t first_head, std::size_t heads) {
    const auto begin = static_cast<std::size_t>(batch_.query_start[s]);
    const auto count = static_cast<std::size_t>(batch_.query_start[s + 1]) - begin;
    const std::size_t grain = std::max<std::size_t>(1, queries_ / heads);
    for (std::size_t tile = (count + grain - 1) / grain; tile-- > 0;) {
      const std::size_t row = tile * grain;
      add({s, begin + row, std::min(grain, count - row), kv_head, first_head, heads});
    }
  }

  void add(AttentionTask task) {
    const std::size_t keys = keys_seen(batch_, task.sequence, task.first_row + task.rows - 1);
    const std::size_t work = task.rows * task.heads * keys;
    task.parts = (keys + part_ - 1) / part_;
    plan_.most_queries = std::max(plan_.most_queries, task.rows * task.heads);
    if (work <= most_work_ || task.parts == 1) {
      plan_.tasks.push_back(task);
      return;
    }
    task.result = plan_.results;
    plan_.results += task.parts;
    plan_.joins.push_back(task);
    const std::size_t tasks = std::min(task.parts, work / most_work_ + 1);
    const std::size_t grain = (task.parts + tasks - 1) / tasks;
    for (std::size_t part = 0; part < task.parts; part += grain) {
      AttentionTask some = task;
      some.first_part = part;
      some.parts = std::min(grain, task.parts - part);
      some.result = task.result + part;
      some.joined = true;
      plan_.tasks.push_back(some);
    }
  }

  const SequenceBatch& batch_;
  const std::size_t kv_heads_;
  const std::size_t share_;  // query heads of a key/value head
  const std::size_t part_;
  const std::size_t queries_;  // of a task, at most
  std::size_t most_work_;      // of a task, in pairs of a query and a key
  AttentionPlan plan_;
};

}  // namespace

std::size_t split_keys(std::size_t block_size) {
  return std::max<std::size_t>(1, kSplitKeys / block_size) * block_size;
}

AttentionPlan plan_attention(const KernelTable& table, const SequenceBatch& batch,
                             const CacheShape& shape, std::size_t heads, int threads) {
  return Planner(batch, shape, heads, threads, table.attend_queries[shape.layout]).plan();
}

}  // namespace llm_kernels
