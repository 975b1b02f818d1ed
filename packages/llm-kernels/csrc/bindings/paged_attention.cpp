#include <stdexcept>

#include "bindings/batch.h"
#include "bindings/shared_pool.h"
#include "llm_kernels/isa.h"

namespace llm_kernels::bindings {
namespace {

constexpr std::size_t kBlockMultiple = 16;

// A cache of NumPy arrays: its layout follows from their dtype (uint16 holds bfloat16) and, of
// int8, from the number of axes of the scales.
struct ArrayCache {
  CacheShape shape;
  KeyValueCache cache;
};

CacheLayout layout_of(const py::array& keys, const OptionalArray& scales) {
  if (keys.dtype().equal(py::dtype::of<std::uint16_t>())) return kCacheBFloat16;
  if (!keys.dtype().equal(py::dtype::of<std::int8_t>())) return kCacheFloat32;
  if (!scales) {
    throw std::invalid_argument(
        "A cache of int8 has scales: pass key_scales and value_scales, of every key/value head or "
        "of every token and head.");
  }
  return scales->ndim() == 1 ? kCacheInt8 : kCacheInt8Dynamic;
}

const void* checked_items(CacheLayout layout, const char* name, const py::array& array,
                          const std::vector<py::ssize_t>& shape) {
  if (layout == kCacheFloat32) return checked<float>(name, array, shape);
  if (layout == kCacheBFloat16) return checked<std::uint16_t>(name, array, shape);
  return checked<std::int8_t>(name, array, shape);
}

ArrayCache array_cache(const py::array& keys, const py::array& values,
                       const OptionalArray& key_scales, const OptionalArray& value_scales) {
  ArrayCache found = {};
  const CacheLayout layout = layout_of(keys, key_scales);
  const void* k = checked_items(layout, "key_cache", keys, {kAny, kAny, kAny, kAny});
  const py::ssize_t blocks = keys.shape(0), heads = keys.shape(1), size = keys.shape(3);
  const void* v = checked_items(layout, "value_cache", values, {blocks, heads, size, kAny});
  std::vector<py::ssize_t> scales;
  if (layout == kCacheInt8) scales = {heads};
  if (layout == kCacheInt8Dynamic) scales = {blocks, heads, size};
  if (layout < kCacheInt8 && (key_scales || value_scales)) {
    throw std::invalid_argument("Scales belong to a cache of int8; leave them out.");
  }
  if (layout >= kCacheInt8 && !value_scales) throw std::invalid_argument("value_scales is None.");
  const float* ks = checked<float>("key_scales", key_scales, scales);
  const float* vs = checked<float>("value_scales", value_scales, scales);
  found.shape = {length(keys, 0),   length(keys, 1), length(keys, 2),
                 length(values, 3), length(keys, 3), layout};
  check_block_size(found.shape.block_size);
  // Only storing writes, and it asks for writable arrays first.
  found.cache = {const_cast<void*>(k), const_cast<void*>(v), const_cast<float*>(ks),
                 const_cast<float*>(vs)};
  return found;
}

void check_heads(std::size_t heads, const CacheShape& shape) {
  if (heads == 0 || shape.head_dim == 0 || shape.value_dim == 0) {
    throw std::invalid_argument("q has " + std::to_string(heads) + " heads of " +
                                std::to_string(shape.head_dim) +
                                " dimensions; at least one of each is needed.");
  }
  if (shape.kv_heads == 0 || heads % shape.kv_heads != 0) {
    throw std::invalid_argument("q has " + std::to_string(heads) +
                                " heads, which is no multiple of the cache's " +
                                std::to_string(shape.kv_heads) + ".");
  }
}

py::array_t<float> attend(const py::array& q, const py::array& keys, const py::array& values,
                          const OptionalArray& key_scales, const OptionalArray& value_scales,
                          const py::array& query_start, const py::array& context_length,
                          const py::array& block_tables, const OptionalArray& prefix_length,
                          const OptionalArray& slopes, float scale, std::int64_t window, float cap,
                          const std::string& isa, int threads) {
  const ArrayCache kept = array_cache(keys, values, key_scales, value_scales);
  PagedAttention arguments = {};
  arguments.shape = kept.shape;
  arguments.cache = kept.cache;
  arguments.q = checked<float>("q", q, {kAny, kAny, keys.shape(2)});
  arguments.slopes = checked<float>("slopes", slopes, {q.shape(1)});
  arguments.heads = length(q, 1);
  arguments.q_stride = length(q, 1) * length(q, 2);
  arguments.scale = scale;
  arguments.window = window;
  arguments.cap = cap;
  check_heads(arguments.heads, kept.shape);
  if (window < 0) throw std::invalid_argument("window must be 0 (every key) or more.");
  const SequenceBatch batch =
      sequence_batch(query_start, context_length, block_tables, prefix_length);
  check_batch(batch, kept.shape);
  if (batch.rows() != length(q, 0)) {
    throw std::invalid_argument("q has " + std::to_string(length(q, 0)) +
                                " rows, but query_start ends with " + std::to_string(batch.rows()) +
                                ".");
  }
  const KernelTable& table = kernel_table(isa_from_name(isa));
  ThreadPool pool = shared_pool(threads);
  py::array_t<float> out({q.shape(0), q.shape(1), values.shape(3)});
  arguments.out = out.mutable_data();
  const Unlocked nogil;
  AttentionScratch scratch;
  paged_attention(table, pool, scratch, arguments, batch,
                  plan_attention(table, batch, kept.shape, arguments.heads, pool.threads()));
  return out;
}

void store(const py::array& key, const py::array& value, const py::array& slots,
           const py::array& keys, const py::array& values, const OptionalArray& key_scales,
           const OptionalArray& value_scales) {
  const ArrayCache kept = array_cache(keys, values, key_scales, value_scales);
  const CacheShape& shape = kept.shape;
  const py::ssize_t tokens = key.ndim() > 0 ? key.shape(0) : 0;
  const float* k = checked<float>("key", key, {kAny, keys.shape(1), keys.shape(2)});
  const float* v = checked<float>("value", value, {tokens, keys.shape(1), values.shape(3)});
  const std::int32_t* slot = checked<std::int32_t>("slots", slots, {tokens});
  bool writable = keys.writeable() && values.writeable();
  if (shape.has_token_scales()) writable &= key_scales->writeable() && value_scales->writeable();
  if (!writable) throw std::invalid_argument("The cache is read-only; pass arrays of your own.");
  for (py::ssize_t t = 0; t < tokens; ++t) {
    if (slot[t] >= 0 && static_cast<std::size_t>(slot[t]) < shape.blocks * shape.block_size)
      continue;
    throw std::invalid_argument("slots[" + std::to_string(t) + "] is " + std::to_string(slot[t]) +
                                "; the cache has places 0 to " +
                                std::to_string(shape.blocks * shape.block_size - 1) + ".");
  }
  const Unlocked nogil;
  for (std::size_t t = 0; t < static_cast<std::size_t>(tokens); ++t) {
    const auto at = static_cast<std::size_t>(slot[t]);
    store_key_value(shape, {at / shape.block_size, at % shape.block_size},
                    k + t * shape.kv_heads * shape.head_dim,
                    v + t * shape.kv_heads * shape.value_dim, kept.cache);
  }
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

void bind_paged_attention(py::module_& m) {
  m.def("paged_attention", &attend);
  m.def("store_key_value", &store);
}

}  // namespace llm_kernels::bindings
