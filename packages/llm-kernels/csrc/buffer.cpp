#include "llm_kernels/buffer.h"

#include <cstdint>
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

#if defined(__linux__)

bool is_mapped(std::size_t bytes) { return bytes >= 2 * kHugePage; }

std::size_t whole_pages(std::size_t bytes) {
  if (bytes > SIZE_MAX - 2 * kHugePage) throw std::bad_alloc();
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

// The system maps at any small page: take one huge page more, and give back what lies around.
void* map_zeroed(std::size_t size) {
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  void* found = mmap(nullptr, size + kHugePage, kAccess, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) throw std::bad_alloc();
  auto* const begin = static_cast<unsigned char*>(found);
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(begin)) % kHugePage;
  if (before > 0) munmap(begin, before);
  if (before < kHugePage) munmap(begin + before + size, kHugePage - before);
  // Weights are streamed from end to end; without huge pages the page walks cost bandwidth.
  madvise(begin + before, size, MADV_HUGEPAGE);
  return begin + before;
}

#endif

}  // namespace

void FreeBuffer::operator()(void* p) const {
  if (borrowed) return;
#if defined(__linux__)
  if (is_mapped(bytes)) {
    munmap(p, whole_pages(bytes));
    return;
  }
#endif
  std::free(p);
}

void* allocate_zeroed(std::size_t bytes) {
#if defined(__linux__)
  if (is_mapped(bytes)) return map_zeroed(whole_pages(bytes));
#endif
  if (bytes > SIZE_MAX - kCacheLine) throw std::bad_alloc();
  const std::size_t size = (bytes / kCacheLine + 1) * kCacheLine;
  void* p = std::aligned_alloc(kCacheLine, size);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, size);
  return p;
}

}  // namespace llm_kernels
