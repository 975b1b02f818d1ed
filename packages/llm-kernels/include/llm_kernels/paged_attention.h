// Attention of a batch of sequences over keys and values kept in blocks (Kwon et al.,
// arXiv:2309.06180). Prefill chunks and decode tokens may be mixed; multi-query and grouped-query
// attention are kv_heads < heads.
//
// A long context is cut at fixed places, every split_keys() keys; each part is attended to on its
// own, and the parts are merged in order. Where they are computed, and how many rows beside a row,
// changes nothing of its result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llm_kernels/buffer.h"
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
  std::size_t value_dim;
  std::size_t block_size;  // a multiple of 16
  CacheLayout layout;

  std::size_t item_bytes() const;
  bool has_token_scales() const { return layout == kCacheInt8Dynamic; }
  // Numbers of one head in a block, and of a block.
  std::size_t head_keys() const { return head_dim * block_size; }
  std::size_t head_values() const { return value_dim * block_size; }
  std::size_t block_keys() const { return kv_heads * head_keys(); }
  std::size_t block_values() const { return kv_heads * head_values(); }
  std::size_t block_scales() const { return has_token_scales() ? kv_heads * block_size : 0; }
  // Bytes of a block: keys, values and the scales of its tokens.
  std::size_t block_bytes() const;
};

// Keys and values of one layer. The scales are what a code counts: [kv_heads] of kCacheInt8,
// [blocks, kv_heads, block_size] of kCacheInt8Dynamic, null of the others.
struct KeyValueCache {
  void* keys;    // [blocks, kv_heads, head_dim, block_size]
  void* values;  // [blocks, kv_heads, block_size, value_dim]
  float* key_scales;
  float* value_scales;
};

struct PagedAttention {
  const float* q;       // [rows, q_stride], heads * head_dim of each
  float* out;           // [rows, heads * value_dim]
  const float* slopes;  // [heads] ALiBi slopes (Press et al., arXiv:2108.12409), or null
  float rounded_scale;  // not 0: slope * key is rounded to bfloat16, then scaled by this
  std::size_t q_stride;
  std::size_t heads;
  std::int64_t window;  // keys that a row sees, itself included; 0: all
  float scale;
  float cap;  // not 0: scores become cap * tanh(score / cap) (arXiv:2408.00118)
  CacheShape shape;
  KeyValueCache cache;
};

// Keys of a part of a long context: the whole blocks in 256 keys, at least one.
std::size_t split_keys(std::size_t block_size);

// Some rows and heads of one sequence, over some parts of its context.
struct AttentionTask {
  std::size_t sequence;
  std::size_t first_row;
  std::size_t rows;
  std::size_t kv_head;
  std::size_t first_head;  // of all query heads
  std::size_t heads;
  std::size_t first_part = 0;
  std::size_t parts = 0;
  bool joined = false;     // the states of its parts are kept, for a join to finish
  std::size_t result = 0;  // where: those of its first part, the others behind
};

// How one step's attention is cut into work for the threads; the same for every layer.
struct AttentionPlan {
  std::vector<AttentionTask> tasks;
  std::vector<AttentionTask> joins;  // with all parts of what was cut
  std::size_t most_queries = 0;      // of a task
  std::size_t results = 0;           // states that are kept until the joins
};
AttentionPlan plan_attention(const KernelTable& table, const SequenceBatch& batch,
                             const CacheShape& shape, std::size_t heads, int threads);

// Kept between calls; it grows to the largest seen.
struct AttentionScratch {
  std::vector<GrowingBuffer<float>> threads;
  GrowingBuffer<float> results;
};

void paged_attention(const KernelTable& table, ThreadPool& pool, AttentionScratch& scratch,
                     const PagedAttention& arguments, const SequenceBatch& batch,
                     const AttentionPlan& plan);

// The block of row `row`'s token and its place in it, as sequence `sequence` of the batch has them.
struct CacheSlot {
  std::size_t block;
  std::size_t offset;
};
std::vector<CacheSlot> cache_slots(const SequenceBatch& batch, std::size_t block_size);

// Key [kv_heads * head_dim] and value [kv_heads * value_dim] of one token to its slot, as the
// layout has them: bfloat16 rounds halves to even; int8 codes are whole steps of the scale, -127 to
// 127, where a scale that is not given is the largest of the head's numbers / 127.
void store_key_value(const CacheShape& shape, CacheSlot slot, const float* key, const float* value,
                     const KeyValueCache& cache);

// All of block `from` to block `to`.
void copy_block(const CacheShape& shape, const KeyValueCache& cache, std::size_t from,
                std::size_t to);

// std::invalid_argument, with a sentence, where the batch points outside of the cache or of itself.
void check_batch(const SequenceBatch& batch, const CacheShape& shape);

}  // namespace llm_kernels
