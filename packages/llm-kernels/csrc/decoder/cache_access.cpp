// The cache between steps: blocks that continue on their own, and keys and values from elsewhere.
#include <cstring>
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
  for (std::size_t i = 0; i < 2 * count; ++i) check_index("Block", pairs[i], cache_.blocks);
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> lock(one_step_);
  const std::size_t size = cache_.block_floats();
  pool_.run(config_.layers, [&](std::size_t layer, int) {
    const std::size_t start = layer * cache_.blocks * size;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t from = start + static_cast<std::size_t>(pairs[2 * i]) * size;
      const std::size_t to = start + static_cast<std::size_t>(pairs[2 * i + 1]) * size;
      if (from == to) continue;
      std::memcpy(keys_.get() + to, keys_.get() + from, size * sizeof(float));
      std::memcpy(values_.get() + to, values_.get() + from, size * sizeof(float));
    }
  });
}

void Decoder::write_cache(std::size_t layer, const std::int32_t* slots, std::size_t tokens,
                          const float* keys, const float* values) {
  check_index("Layer", static_cast<std::int64_t>(layer), config_.layers);
  for (std::size_t i = 0; i < tokens; ++i) {
    check_index("Slot", slots[i], cache_.blocks * cache_.block_size);
  }
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> lock(one_step_);
  const std::size_t start = layer * cache_.blocks * cache_.block_floats();
  const std::size_t width = cache_.kv_heads * cache_.head_dim;
  for (std::size_t i = 0; i < tokens; ++i) {
    const auto slot = static_cast<std::size_t>(slots[i]);
    store_key_value(cache_, {slot / cache_.block_size, slot % cache_.block_size},
                    keys + i * width, values + i * width, keys_.get() + start,
                    values_.get() + start);
  }
}

}  // namespace llm_kernels
