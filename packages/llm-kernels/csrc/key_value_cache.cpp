// Keys and values in blocks: their layouts, where a token's are, and how they get there.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

#include "bfloat16.h"
#include "llm_kernels/paged_attention.h"

namespace llm_kernels {
namespace {

constexpr float kMostCode = 127.0f;

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

// The whole number next to x / scale, halves to even, within +-127.
std::int8_t to_code(float x, float scale) {
  const float steps = std::min(kMostCode, std::max(-kMostCode, x / scale));
  // Adding 1.5 * 2^23 leaves no room for a fraction.
  return static_cast<std::int8_t>((steps + 12582912.0f) - 12582912.0f);
}

// What a code of these numbers has to count; 1 where they are all 0.
float step_of(const float* x, std::size_t size) {
  float most = 0.0f;
  for (std::size_t i = 0; i < size; ++i) most = std::max(most, std::fabs(x[i]));
  return most > 0.0f ? most / kMostCode : 1.0f;
}

// The head's numbers to the cache, `stride` apart.
template <class Item, class Convert>
void store_head(const float* x, std::size_t size, void* cache, std::size_t at, std::size_t stride,
                const Convert& convert) {
  Item* to = static_cast<Item*>(cache) + at;
  for (std::size_t i = 0; i < size; ++i) to[i * stride] = convert(x[i]);
}

void store_numbers(CacheLayout layout, float scale, const float* x, std::size_t size, void* cache,
                   std::size_t at, std::size_t stride) {
  switch (layout) {
    case kCacheFloat32:
      return store_head<float>(x, size, cache, at, stride, [](float v) { return v; });
    case kCacheBFloat16:
      return store_head<std::uint16_t>(x, size, cache, at, stride, bfloat16_of);
    default:
      return store_head<std::int8_t>(x, size, cache, at, stride,
                                     [scale](float v) { return to_code(v, scale); });
  }
}

}  // namespace

std::size_t CacheShape::item_bytes() const {
  if (layout == kCacheFloat32) return sizeof(float);
  return layout == kCacheBFloat16 ? sizeof(std::uint16_t) : sizeof(std::int8_t);
}

std::size_t CacheShape::block_bytes() const {
  return (block_keys() + block_values()) * item_bytes() + 2 * block_scales() * sizeof(float);
}

void check_batch(const SequenceBatch& batch, const CacheShape& shape) {
  if (batch.query_start[0] != 0) {
    throw std::invalid_argument("query_start begins with " + std::to_string(batch.query_start[0]) +
                                "; it must begin with 0.");
  }
  for (std::size_t s = 0; s < batch.sequences; ++s) check_sequence(batch, shape, s);
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
                     const KeyValueCache& cache) {
  for (std::size_t head = 0; head < shape.kv_heads; ++head) {
    const float* k = key + head * shape.head_dim;
    const float* v = value + head * shape.value_dim;
    float key_scale = 1.0f, value_scale = 1.0f;
    if (shape.has_token_scales()) {
      const std::size_t at =
          slot.block * shape.block_scales() + head * shape.block_size + slot.offset;
      key_scale = cache.key_scales[at] = step_of(k, shape.head_dim);
      value_scale = cache.value_scales[at] = step_of(v, shape.value_dim);
    } else if (shape.layout == kCacheInt8) {
      key_scale = cache.key_scales[head];
      value_scale = cache.value_scales[head];
    }
    store_numbers(shape.layout, key_scale, k, shape.head_dim, cache.keys,
                  slot.block * shape.block_keys() + head * shape.head_keys() + slot.offset,
                  shape.block_size);
    store_numbers(shape.layout, value_scale, v, shape.value_dim, cache.values,
                  slot.block * shape.block_values() + head * shape.head_values() +
                      slot.offset * shape.value_dim,
                  1);
  }
}

void copy_block(const CacheShape& shape, const KeyValueCache& cache, std::size_t from,
                std::size_t to) {
  if (from == to) return;
  const auto copy = [&](void* first, std::size_t bytes) {
    auto* const at = static_cast<unsigned char*>(first);
    std::memcpy(at + to * bytes, at + from * bytes, bytes);
  };
  copy(cache.keys, shape.block_keys() * shape.item_bytes());
  copy(cache.values, shape.block_values() * shape.item_bytes());
  if (!shape.has_token_scales()) return;
  copy(cache.key_scales, shape.block_scales() * sizeof(float));
  copy(cache.value_scales, shape.block_scales() * sizeof(float));
}

}  // namespace llm_kernels
