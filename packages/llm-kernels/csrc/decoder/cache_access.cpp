// The cache between steps: blocks that continue on their own, and keys and values from elsewhere.
#include <stdexcept>
#include <string>

#include "llm_kernels/decoder.h"
#include "llm_kernels/fork_guard.h"

namespace llm_kernels {
namespace {

void check_index(const char* name, std::int64_t value, std::size_t count) {
  if (value < 0 || static_cast<std::size_t>(value) >= count) {
    throw std::invalid_argument(std::string(name) + " " + std::to_string(value) +
                                " was named; the cache has 0 to " + std::to_string(count - 1) +
                                ".");
  }
}

}  // namespace

void Decoder::copy_blocks(const std::int32_t* pairs, std::size_t count) {
  const std::size_t blocks = caches_.shape().blocks;
  for (std::size_t i = 0; i < 2 * count; ++i) check_index("Block", pairs[i], blocks);
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> lock(one_step_);
  pool_.run(config_.layers, [&](std::size_t layer, int) {
    for (std::size_t i = 0; i < count; ++i) {
      copy_block(caches_.shape(), caches_.layer(layer), static_cast<std::size_t>(pairs[2 * i]),
                 static_cast<std::size_t>(pairs[2 * i + 1]));
    }
  });
}

void Decoder::write_cache(std::size_t layer, const std::int32_t* slots, std::size_t tokens,
                          const float* keys, const float* values) {
  const CacheShape& shape = caches_.shape();
  check_index("Layer", static_cast<std::int64_t>(layer), config_.layers);
  for (std::size_t i = 0; i < tokens; ++i) {
    check_index("Slot", slots[i], shape.blocks * shape.block_size);
  }
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> lock(one_step_);
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto slot = static_cast<std::size_t>(slots[i]);
    store_key_value(shape, {slot / shape.block_size, slot % shape.block_size},
                    keys + i * shape.kv_heads * shape.head_dim,
                    values + i * shape.kv_heads * shape.value_dim, caches_.layer(layer));
  }
}

}  // namespace llm_kernels
