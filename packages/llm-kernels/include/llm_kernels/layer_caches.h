// The paged keys and values of every layer of a decoder.
#pragma once

#include <cstddef>
#include <vector>

#include "llm_kernels/buffer.h"
#include "llm_kernels/paged_attention.h"

namespace llm_kernels {

class LayerCaches {
 public:
  // `key_scales` and `value_scales` are [layers, kv_heads] of kCacheInt8, empty of the others.
  // std::invalid_argument, with the numbers, for a cache that the system does not give.
  LayerCaches(const CacheShape& shape, std::size_t layers, const std::vector<float>& key_scales,
              const std::vector<float>& value_scales);

  const CacheShape& shape() const { return shape_; }
  KeyValueCache layer(std::size_t index) const;
  std::size_t bytes() const { return layers_ * shape_.blocks * shape_.block_bytes(); }

 private:
  void allocate();

  CacheShape shape_;
  std::size_t layers_;
  Buffer<unsigned char> keys_, values_;
  Buffer<float> key_scales_, value_scales_;  // null where the layout has none
};

}  // namespace llm_kernels
