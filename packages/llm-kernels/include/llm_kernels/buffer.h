// Memory for weights and caches: 64-byte aligned, on huge pages where it is large.
#pragma once

#include <cstddef>
#include <memory>

namespace llm_kernels {

struct FreeBuffer {
  void operator()(void* p) const;
};

template <class T>
using Buffer = std::unique_ptr<T[], FreeBuffer>;

// `bytes` zeroed bytes; std::bad_alloc when there are none.
void* allocate_zeroed(std::size_t bytes);

template <class T>
Buffer<T> make_buffer(std::size_t count) {
  return Buffer<T>(static_cast<T*>(allocate_zeroed(count * sizeof(T))));
}

}  // namespace llm_kernels
