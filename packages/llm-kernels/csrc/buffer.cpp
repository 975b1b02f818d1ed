#include "llm_kernels/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace llm_kernels {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kCacheLine = 64;

}  // namespace

void FreeBuffer::operator()(void* p) const { std::free(p); }

void* allocate_zeroed(std::size_t bytes) {
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kCacheLine;
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, size > 0 ? size : alignment);
  if (p == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  // Weights are streamed from end to end; without huge pages the page walks cost bandwidth.
  if (alignment == kHugePage) madvise(p, size, MADV_HUGEPAGE);
#endif
  std::memset(p, 0, size > 0 ? size : alignment);
  return p;
}

}  // namespace llm_kernels
