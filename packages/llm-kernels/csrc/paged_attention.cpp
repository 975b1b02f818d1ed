#include "llm_kernels/paged_attention.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace llm_kernels {
namespace {

// Queries that share one pass over the blocks: enough to use a block many times while it is in
// cache, few enough that their state stays there too.
constexpr std::size_t kQueriesPerTask = 32;

std::string at_sequence(std::size_t s) { return " of sequence " + std::to_string(s); }

void check_sequence(const SequenceBatch& batch, const CacheShape& shape, std::size_t s) {
  const std::int64_t rows = batch.query_start[s + 1] - std::int64_t{batch.query_start[s]};
  const std::int64_t length = batch.context_length[s];
  if (rows < 0) {
    throw std::invalid_argument("query_start falls from " + std::to_string(batch.query_start[s]) +
                                " to " + std::to_string(batch.query_start[s + 1]) +
                                "; it must rise.");
  }
  if (length < rows) {
    throw std::invalid_argument("context_length" + at_sequence(s) + " is " +
                                std::to_string(length) + ", less than the " + std::to_string(rows) +
                                " rows it has in this step.");
  }
  const std::int64_t size = static_cast<std::int64_t>(shape.block_size);
  const std::int64_t blocks = (length + size - 1) / size;
  if (blocks > static_cast<std::int64_t>(batch.max_blocks)) {
    throw std::invalid_argument("context_length" + at_sequence(s) + " is " +
                                std::to_string(length) + ", which needs " + std::to_string(blocks) +
                                " blocks; block_tables has room for " +
                                std::to_string(batch.max_blocks) + ".");
  }
  if (blocks > 0 && shape.blocks == 0) {
    throw std::invalid_argument("The cache has no blocks, but sequence " + std::to_string(s) +
                                " needs " + std::to_string(blocks) + ".");
  }
  const std::int32_t* table = batch.block_tables + s * batch.max_blocks;
  for (std::int64_t b = 0; b < blocks; ++b) {
    if (table[b] < 0 || static_cast<std::size_t>(table[b]) >= shape.blocks) {
      throw std::invalid_argument("block_tables" + at_sequence(s) + " names block " +
                                  std::to_string(table[b]) + "; the cache has blocks 0 to " +
                                  std::to_string(shape.blocks - 1) + ".");
    }
  }
  if (batch.prefix_length && (batch.prefix_length[s] < 0 || batch.prefix_length[s] > length)) {
    throw std::invalid_argument("prefix_length" + at_sequence(s) + " is " +
                                std::to_string(batch.prefix_length[s]) +
                                "; it must be 0 to context_length (" + std::to_string(length) +
                                "), as a row sees keys only once they are in the cache.");
  }
}

}  // namespace

void check_batch(const SequenceBatch& batch, const CacheShape& shape) {
  if (batch.query_start[0] != 0) {
    throw std::invalid_argument("query_start begins with " + std::to_string(batch.query_start[0]) +
                                "; it must begin with 0.");
  }
  for (std::size_t s = 0; s < batch.sequences; ++s) check_sequence(batch, shape, s);
}

std::vector<AttentionTask> attention_tasks(const SequenceBatch& batch, std::size_t heads,
                                           std::size_t kv_heads) {
  const std::size_t grain = std::max<std::size_t>(1, kQueriesPerTask / (heads / kv_heads));
  std::vector<AttentionTask> tasks;
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    const auto begin = static_cast<std::size_t>(batch.query_start[s]);
    const auto end = static_cast<std::size_t>(batch.query_start[s + 1]);
    for (std::size_t head = 0; head < kv_heads; ++head) {
      for (std::size_t row = begin; row < end; row += grain) {
        tasks.push_back({s, row, std::min(grain, end - row), head});
      }
    }
  }
  return tasks;
}

void paged_attention(const KernelTable& table, ThreadPool& pool, AttentionScratch& scratch,
                     const PagedAttention& arguments, const SequenceBatch& batch,
                     const std::vector<AttentionTask>& tasks) {
  const CacheShape& cache = arguments.cache;
  const std::size_t share = arguments.heads / cache.kv_heads;
  std::size_t most_rows = 0;
  for (const AttentionTask& task : tasks) most_rows = std::max(most_rows, task.rows);
  scratch.resize(static_cast<std::size_t>(pool.threads()));
  for (std::vector<float>& one : scratch) {
    const std::size_t need = attention_scratch(most_rows * share, cache.head_dim, cache.block_size);
    one.resize(std::max(one.size(), need));
  }
  pool.run(tasks.size(), [&](std::size_t index, int thread) {
    const AttentionTask& task = tasks[index];
    const std::size_t s = task.sequence;
    const std::size_t first_head = task.kv_head * share;
    AttentionItem item = {};
    item.q = arguments.q + task.first_row * arguments.q_stride + first_head * cache.head_dim;
    item.q_stride = arguments.q_stride;
    item.out_stride = arguments.heads * cache.head_dim;
    item.out = arguments.out + task.first_row * item.out_stride + first_head * cache.head_dim;
    item.keys = arguments.keys + task.kv_head * cache.head_floats();
    item.values = arguments.values + task.kv_head * cache.head_floats();
    item.blocks = batch.block_tables + s * batch.max_blocks;
    item.slopes = arguments.slopes ? arguments.slopes + first_head : nullptr;
    item.scratch = scratch[static_cast<std::size_t>(thread)].data();
    item.block_stride = cache.block_floats();
    item.rows = task.rows;
    item.heads = share;
    item.head_dim = cache.head_dim;
    item.block_size = cache.block_size;
    item.first_index = batch.context_length[s] - batch.query_start[s + 1] +
                       static_cast<std::int64_t>(task.first_row);
    item.window = arguments.window;
    item.prefix = batch.prefix_length ? batch.prefix_length[s] : 0;
    item.scale = arguments.scale;
    item.cap = arguments.cap;
    item.rounded_scale = arguments.rounded_scale;
    table.attend(item);
  });
}

std::vector<CacheSlot> cache_slots(const SequenceBatch& batch, std::size_t block_size) {
  std::vector<CacheSlot> slots;
  slots.reserve(batch.rows());
  for (std::size_t s = 0; s < batch.sequences; ++s) {
    const auto rows = static_cast<std::size_t>(batch.query_start[s + 1] - batch.query_start[s]);
    const auto length = static_cast<std::size_t>(batch.context_length[s]);
    const std::int32_t* table = batch.block_tables + s * batch.max_blocks;
    for (std::size_t index = length - rows; index < length; ++index) {
      slots.push_back({static_cast<std::size_t>(table[index / block_size]), index % block_size});
    }
  }
  return slots;
}

void store_key_value(const CacheShape& shape, CacheSlot slot, const float* key, const float* value,
                     float* keys, float* values) {
  for (std::size_t head = 0; head < shape.kv_heads; ++head) {
    const std::size_t base = slot.block * shape.block_floats() + head * shape.head_floats();
    float* k = keys + base + slot.offset;
    float* v = values + base + slot.offset * shape.head_dim;
    for (std::size_t d = 0; d < shape.head_dim; ++d) {
      k[d * shape.block_size] = key[head * shape.head_dim + d];
      v[d] = value[head * shape.head_dim + d];
    }
  }
}

}  // namespace llm_kernels
