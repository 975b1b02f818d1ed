// Threads that run one loop at a time; they spin for some microseconds, then sleep.
#pragma once

#include <atomic>
#include <cstddef>

namespace llm_kernels {

class ThreadPool {
 public:
  static constexpr int kMostThreads = 1024;

  // `threads` in all, the calling one included; std::invalid_argument unless they are 1 to
  // kMostThreads and the system starts them.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // `threads` of this pool's, which grows where it has fewer and must outlive them. Not to be
  // called from two threads at once. std::invalid_argument as above; the pool remains what it was.
  ThreadPool lend(int threads);

  // While set, the calling thread runs loops alone: for work that is not worth waking others.
  void set_alone(bool alone) { alone_.store(alone, std::memory_order_relaxed); }

  // task(index, thread) for every index below count, each once, thread in [0, threads()). The order
  // and the thread are free, so a task's result may depend on neither. A task that throws ends the
  // process. Loops of several callers run one after the other.
  template <class Task>
  void run(std::size_t count, const Task& task) {
    run_erased(count, &task, [](const void* context, std::size_t index, int thread) noexcept {
      (*static_cast<const Task*>(context))(index, thread);
    });
  }

 private:
  using Call = void (*)(const void*, std::size_t, int) noexcept;
  struct Crew;

  ThreadPool(Crew* lent, int threads);
  void run_erased(std::size_t count, const void* context, Call call);

  const int threads_;
  const int generation_;
  std::atomic<bool> alone_{false};
  Crew* crew_ = nullptr;  // null for one thread
  const bool lent_ = false;
  int grown_ = 1;  // threads of the crew, the caller's included
};

}  // namespace llm_kernels
