#include <stdexcept>

#include "bindings/batch.h"
#include "bindings/shared_pool.h"
#include "llm_kernels/isa.h"

namespace llm_kernels::bindings {
namespace {

constexpr std::size_t kBlockMultiple = 16;

py::array_t<float> attend(const py::array& q, const py::array& keys, const py::array& values,
                          const py::array& query_start, const py::array& context_length,
                          const py::array& block_tables, const OptionalArray& prefix_length,
                          const OptionalArray& slopes, float scale, std::int64_t window,
                          const std::string& isa, int threads) {
  PagedAttention arguments = {};
  arguments.q = checked<float>("q", q, {kAny, kAny, kAny});
  arguments.keys = checked<float>("key_cache", keys, {kAny, kAny, q.shape(2), kAny});
  arguments.values = checked<float>("value_cache", values,
                                    {keys.shape(0), keys.shape(1), keys.shape(3), q.shape(2)});
  arguments.slopes = checked<float>("slopes", slopes, {q.shape(1)});
  arguments.heads = length(q, 1);
  arguments.q_stride = length(q, 1) * length(q, 2);
  arguments.scale = scale;
  arguments.window = window;
  arguments.cache = {length(keys, 0), length(keys, 1), length(keys, 2), length(keys, 3)};
  check_block_size(arguments.cache.block_size);
  if (arguments.heads == 0 || arguments.cache.head_dim == 0) {
    throw std::invalid_argument("q has " + std::to_string(arguments.heads) + " heads of " +
                                std::to_string(arguments.cache.head_dim) +
                                " dimensions; at least one of each is needed.");
  }
  if (window < 0) throw std::invalid_argument("window must be 0 (every key) or more.");
  if (arguments.cache.kv_heads == 0 || arguments.heads % arguments.cache.kv_heads != 0) {
    throw std::invalid_argument("q has " + std::to_string(arguments.heads) +
                                " heads, which is no multiple of the cache's " +
                                std::to_string(arguments.cache.kv_heads) + ".");
  }
  const SequenceBatch batch =
      sequence_batch(query_start, context_length, block_tables, prefix_length);
  check_batch(batch, arguments.cache);
  if (batch.rows() != length(q, 0)) {
    throw std::invalid_argument("q has " + std::to_string(length(q, 0)) +
                                " rows, but query_start ends with " + std::to_string(batch.rows()) +
                                ".");
  }
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool& pool = shared_pool(threads);
  py::array_t<float> out({q.shape(0), q.shape(1), q.shape(2)});
  arguments.out = out.mutable_data();
  const Unlocked nogil;
  AttentionScratch scratch;
  paged_attention(table, pool, scratch, arguments, batch,
                  attention_tasks(batch, arguments.heads, arguments.cache.kv_heads));
  return out;
}

}  // namespace

void check_block_size(std::size_t block_size) {
  if (block_size == 0 || block_size % kBlockMultiple != 0) {
    throw std::invalid_argument("Blocks of " + std::to_string(block_size) +
                                " tokens were asked for; the kernels take multiples of " +
                                std::to_string(kBlockMultiple) + ".");
  }
}

SequenceBatch sequence_batch(const py::array& query_start, const py::array& context_length,
                             const py::array& block_tables, const OptionalArray& prefix_length) {
  SequenceBatch batch = {};
  batch.query_start = checked<std::int32_t>("query_start", query_start, {kAny});
  if (query_start.size() < 1)
    throw std::invalid_argument("query_start is empty; it begins with 0.");
  const py::ssize_t sequences = query_start.shape(0) - 1;
  batch.sequences = static_cast<std::size_t>(sequences);
  batch.context_length = checked<std::int32_t>("context_length", context_length, {sequences});
  batch.block_tables = checked<std::int32_t>("block_tables", block_tables, {sequences, kAny});
  batch.prefix_length = checked<std::int32_t>("prefix_length", prefix_length, {sequences});
  batch.max_blocks = length(block_tables, 1);
  return batch;
}

void bind_paged_attention(py::module_& m) { m.def("paged_attention", &attend); }

}  // namespace llm_kernels::bindings
