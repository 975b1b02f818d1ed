#include "bindings/shared_pool.h"

#include <map>
#include <mutex>
#include <utility>

#include "llm_kernels/fork_guard.h"

namespace llm_kernels::bindings {

ThreadPool& shared_pool(int threads) {
  // Never destroyed: at exit other threads may still be inside. A forked child starts its own.
  static auto* const pools = new std::map<std::pair<int, int>, ThreadPool*>;
  static auto* const lock = new std::mutex;
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> guard(*lock);
  ThreadPool*& pool = (*pools)[{fork_generation(), threads}];
  if (pool == nullptr) pool = new ThreadPool(threads);
  return *pool;
}

}  // namespace llm_kernels::bindings
