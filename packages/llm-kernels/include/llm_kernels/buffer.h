// Memory for weights and caches: 64-byte aligned, on huge pages where it is large; or memory of
// somebody else, such as a mapped file.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>

namespace llm_kernels {

struct FreeBuffer {
  std::size_t bytes = 0;
  bool borrowed = false;  // never written to, and freed by its owner
  void operator()(void* p) const;
};

template <class T>
using Buffer = std::unique_ptr<T[], FreeBuffer>;

// `bytes` zeroed bytes; std::bad_alloc when there are none. Large ones are zeroed by the system
// page by page when they are first touched, so that a cache takes what of it is used.
void* allocate_zeroed(std::size_t bytes);

// std::invalid_argument for more bytes than an address can count.
template <class T>
Buffer<T> make_buffer(std::size_t count) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, sizeof(T), &bytes)) {
    throw std::invalid_argument("More memory was asked for than can be addressed.");
  }
  return Buffer<T>(static_cast<T*>(allocate_zeroed(bytes)), FreeBuffer{bytes, false});
}

// Scratch that grows, aligned likewise. What it held is lost when it does.
template <class T>
class GrowingBuffer {
 public:
  void reserve(std::size_t count) {
    if (count <= count_) return;
    data_ = make_buffer<T>(count);
    count_ = count;
  }
  T* data() const { return data_.get(); }

 private:
  Buffer<T> data_;
  std::size_t count_ = 0;
};

// Memory that outlives the buffer.
template <class T>
Buffer<T> borrow_buffer(const T* data, std::size_t count) {
  return Buffer<T>(const_cast<T*>(data), FreeBuffer{count * sizeof(T), true});
}

}  // namespace llm_kernels
