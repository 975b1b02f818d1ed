#include "bindings/shared_pool.h"

#include <mutex>

#include "llm_kernels/fork_guard.h"

namespace llm_kernels::bindings {

ThreadPool shared_pool(int threads) {
  // Never destroyed: at exit other threads may still be inside. A forked child starts its own.
  static ThreadPool* pool = nullptr;
  static int generation = -1;
  static auto* const lock = new std::mutex;
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> guard(*lock);
  if (generation != fork_generation()) {
    pool = new ThreadPool(1);
    generation = fork_generation();
  }
  return pool->lend(threads);
}

}  // namespace llm_kernels::bindings
