// Runs the tasks of a plan on the threads, and joins what was cut.
#include "llm_kernels/paged_attention.h"

#include <algorithm>

namespace llm_kernels {
namespace {

// One call's arguments, to make items of.
struct Call {
  const PagedAttention& arguments;
  const SequenceBatch& batch;

  AttentionItem item(const AttentionTask& task) const {
    const CacheShape& shape = arguments.shape;
    const KeyValueCache& cache = arguments.cache;
    const std::size_t s = task.sequence;
    const auto head_part = [&](void* first, std::size_t numbers) {
      return static_cast<const unsigned char*>(first) + task.kv_head * numbers * shape.item_bytes();
    };
    AttentionItem item = {};
    item.q = arguments.q + task.first_row * arguments.q_stride + task.first_head * shape.head_dim;
    item.q_stride = arguments.q_stride;
    item.out_stride = arguments.heads * shape.value_dim;
    item.out = arguments.out + task.first_row * item.out_stride + task.first_head * shape.value_dim;
    item.keys = head_part(cache.keys, shape.head_keys());
    item.values = head_part(cache.values, shape.head_values());
    item.key_stride = shape.block_keys();
    item.value_stride = shape.block_values();
    item.blocks = batch.block_tables + s * batch.max_blocks;
    item.slopes = arguments.slopes ? arguments.slopes + task.first_head : nullptr;
    item.rounded_scale = arguments.rounded_scale;
    item.rows = task.rows;
    item.heads = task.heads;
    item.head_dim = shape.head_dim;
    item.value_dim = shape.value_dim;
    item.block_size = shape.block_size;
    item.first_index = batch.context_length[s] - batch.query_start[s + 1] +
                       static_cast<std::int64_t>(task.first_row);
    item.window = arguments.window;
    item.prefix = batch.prefix_length ? batch.prefix_length[s] : 0;
    item.cap = arguments.cap;
    item.scale = arguments.scale;
    item.value_scale = 1.0f;
    if (shape.has_token_scales()) {
      item.key_scales = cache.key_scales + task.kv_head * shape.block_size;
      item.value_scales = cache.value_scales + task.kv_head * shape.block_size;
      item.scale_stride = shape.block_scales();
    } else if (shape.layout == kCacheInt8) {
      item.scale *= cache.key_scales[task.kv_head];
      item.value_scale = cache.value_scales[task.kv_head];
    }
    return item;
  }
};

// The first part of the context of which the item's window leaves anything.
std::size_t first_seen_part(const AttentionItem& item, std::size_t part_keys) {
  const std::int64_t first = item.window > 0 ? item.first_index + 1 - item.window : 0;
  return first > 0 ? static_cast<std::size_t>(first) / part_keys : 0;
}

}  // namespace

void paged_attention(const KernelTable& table, ThreadPool& pool, AttentionScratch& scratch,
                     const PagedAttention& arguments, const SequenceBatch& batch,
                     const AttentionPlan& plan) {
  const CacheShape& shape = arguments.shape;
  const Call call{arguments, batch};
  const std::size_t part_keys = split_keys(shape.block_size);
  const std::size_t states = attention_states(plan.most_queries, shape.value_dim);
  const std::size_t blocks =
      attention_scratch(plan.most_queries, shape.head_dim, shape.value_dim, shape.block_size);
  scratch.threads.resize(static_cast<std::size_t>(pool.threads()));
  for (GrowingBuffer<float>& one : scratch.threads) one.reserve(2 * states + blocks);
  scratch.results.reserve(plan.results * states);

  const auto attend = [&](AttentionItem& item, std::size_t part, float* result) {
    item.states = result;
    item.first_key = static_cast<std::int64_t>(part * part_keys);
    item.end_key = item.first_key + static_cast<std::int64_t>(part_keys);
    table.attend[shape.layout](item);
  };
  pool.run(plan.tasks.size(), [&](std::size_t index, int thread) {
    const AttentionTask& task = plan.tasks[index];
    AttentionItem item = call.item(task);
    float* const mine = scratch.threads[static_cast<std::size_t>(thread)].data();
    item.scratch = mine + 2 * states;
    if (task.joined) {
      for (std::size_t part = 0; part < task.parts; ++part) {
        attend(item, task.first_part + part,
               scratch.results.data() + (task.result + part) * states);
      }
      return;
    }
    const std::size_t first = first_seen_part(item, part_keys);
    attend(item, first, mine);
    for (std::size_t part = first + 1; part < task.parts; ++part) {
      attend(item, part, mine + states);
      item.states = mine;
      table.merge_attention(item, mine + states);
    }
    item.states = mine;
    table.finish_attention(item);
  });
  pool.run(plan.joins.size(), [&](std::size_t index, int) {
    const AttentionTask& task = plan.joins[index];
    AttentionItem item = call.item(task);
    item.states = scratch.results.data() + task.result * states;
    for (std::size_t part = 1; part < task.parts; ++part) {
      table.merge_attention(item, item.states + part * states);
    }
    table.finish_attention(item);
  });
}

}  // namespace llm_kernels
