// Attention of a batch of sequences over keys and values kept in blocks (Kwon et al.,
// arXiv:2309.06180). Prefill chunks and decode tokens may be mixed; multi-query and grouped-query
// attention are kv_heads < heads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llm_kernels/kernel_table.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

// The sequences of a step. Rows query_start[s] : query_start[s + 1] belong to sequence s and are
// the last of its context_length[s] tokens; token i of the sequence is in block block_tables[s, i /
// block_size].
struct SequenceBatch {
  const std::int32_t* query_start;     // [sequences + 1]
  const std::int32_t* context_length;  // [sequences]
  const std::int32_t* block_tables;    // [sequences, max_blocks]
  const std::int32_t* prefix_length;   // [sequences] keys that every row sees; or null
  std::size_t sequences;
  std::size_t max_blocks;

  std::size_t rows() const { return static_cast<std::size_t>(query_start[sequences]); }
};

struct CacheShape {
  std::size_t blocks;
  std::size_t kv_heads;
  std::size_t head_dim;
  std::size_t block_size;  // a multiple of 16

  std::size_t head_floats() const { return head_dim * block_size; }
  std::size_t block_floats() const { return kv_heads * head_floats(); }
};

struct PagedAttention {
  const float* q;       // [rows, q_stride], heads * head_dim of each
  float* out;           // [rows, heads * head_dim]
  const float* keys;    // [blocks, kv_heads, head_dim, block_size]
  const float* values;  // [blocks, kv_heads, block_size, head_dim]
  const float* slopes;  // [heads] ALiBi slopes (Press et al., arXiv:2108.12409), or null
  float rounded_scale;  // not 0: slope * key is rounded to bfloat16, then scaled by this
  std::size_t q_stride;
  std::size_t heads;
  std::int64_t window;  // keys that a row sees, itself included; 0: all
  float scale;
  float cap;  // not 0: scores become cap * tanh(score / cap) (arXiv:2408.00118)
  CacheShape cache;
};

// How one step's attention is cut into work for the threads; the same for every layer.
struct AttentionTask {
  std::size_t sequence;
  std::size_t first_row;
  std::size_t rows;
  std::size_t kv_head;
};
std::vector<AttentionTask> attention_tasks(const SequenceBatch& batch, std::size_t heads,
                                           std::size_t kv_heads);

// One scratch a thread.
using AttentionScratch = std::vector<std::vector<float>>;

void paged_attention(const KernelTable& table, ThreadPool& pool, AttentionScratch& scratch,
                     const PagedAttention& arguments, const SequenceBatch& batch,
                     const std::vector<AttentionTask>& tasks);

// The block of row `row`'s token and its place in it, as sequence `sequence` of the batch has them.
struct CacheSlot {
  std::size_t block;
  std::size_t offset;
};
std::vector<CacheSlot> cache_slots(const SequenceBatch& batch, std::size_t block_size);

// Key and value of one token, [kv_heads * head_dim] each, to its slot.
void store_key_value(const CacheShape& shape, CacheSlot slot, const float* key, const float* value,
                     float* keys, float* values);

// std::invalid_argument, with a sentence, where the batch points outside of the cache or of itself.
void check_batch(const SequenceBatch& batch, const CacheShape& shape);

}  // namespace llm_kernels
