#include "bindings/shared_pool.h"

#include <unistd.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

namespace llm_kernels::bindings {

ThreadPool& shared_pool(int threads) {
  if (threads < 1) {
    throw std::invalid_argument("threads is " + std::to_string(threads) +
                                "; at least 1 is needed.");
  }
  // Never destroyed: at exit other threads may still be inside. A forked child starts its own.
  static auto* const pools = new std::map<std::pair<int, int>, ThreadPool*>;
  static auto* const lock = new std::mutex;
  std::lock_guard<std::mutex> guard(*lock);
  ThreadPool*& pool = (*pools)[{getpid(), threads}];
  if (pool == nullptr) pool = new ThreadPool(threads);
  return *pool;
}

}  // namespace llm_kernels::bindings
