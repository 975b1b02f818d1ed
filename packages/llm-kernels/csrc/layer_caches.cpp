#include "llm_kernels/layer_caches.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>

namespace llm_kernels {
namespace {

std::invalid_argument refuse(const CacheShape& shape, const std::string& cause) {
  return std::invalid_argument("A cache of " + std::to_string(shape.blocks) +
                               " blocks (num_blocks) of " + std::to_string(shape.block_size) +
                               " tokens was asked for, " + cause);
}

bool too_many(std::initializer_list<std::size_t> factors) {
  std::size_t product = 4 * sizeof(float);  // keys, values and scales together are counted too
  bool overflows = false;
  for (const std::size_t factor : factors) {
    overflows |= __builtin_mul_overflow(product, factor, &product);
  }
  return overflows;
}

Buffer<float> copied(const std::vector<float>& values) {
  Buffer<float> copy = make_buffer<float>(values.size());
  std::copy(values.begin(), values.end(), copy.get());
  return copy;
}

}  // namespace

LayerCaches::LayerCaches(const CacheShape& shape, std::size_t layers,
                         const std::vector<float>& key_scales,
                         const std::vector<float>& value_scales)
    : shape_(shape), layers_(layers) {
  if (shape.blocks == 0) {
    throw refuse(shape, "which holds nothing; at least 1 block is needed.");
  }
  if (too_many({layers, shape.blocks, shape.kv_heads, std::max(shape.head_dim, shape.value_dim),
                shape.block_size})) {
    throw refuse(shape, "more than can be addressed; ask for fewer.");
  }
  try {
    allocate();
    if (shape.layout == kCacheInt8) {
      key_scales_ = copied(key_scales);
      value_scales_ = copied(value_scales);
    }
  } catch (const std::bad_alloc&) {
    throw refuse(
        shape, std::to_string(bytes()) + " bytes, which the system does not give; ask for fewer.");
  }
}

void LayerCaches::allocate() {
  const std::size_t blocks = layers_ * shape_.blocks;
  keys_ = make_buffer<unsigned char>(blocks * shape_.block_keys() * shape_.item_bytes());
  values_ = make_buffer<unsigned char>(blocks * shape_.block_values() * shape_.item_bytes());
  if (!shape_.has_token_scales()) return;
  key_scales_ = make_buffer<float>(blocks * shape_.block_scales());
  value_scales_ = make_buffer<float>(blocks * shape_.block_scales());
}

KeyValueCache LayerCaches::layer(std::size_t index) const {
  const std::size_t blocks = index * shape_.blocks;
  const std::size_t scales =
      shape_.has_token_scales() ? blocks * shape_.block_scales() : index * shape_.kv_heads;
  return {keys_.get() + blocks * shape_.block_keys() * shape_.item_bytes(),
          values_.get() + blocks * shape_.block_values() * shape_.item_bytes(),
          key_scales_ ? key_scales_.get() + scales : nullptr,
          value_scales_ ? value_scales_.get() + scales : nullptr};
}

}  // namespace llm_kernels
