// Threads that run one loop at a time; they spin for some microseconds, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace llm_kernels {

// How many processors this process may use.
int available_processors();

class ThreadPool {
 public:
  // `threads` in all, the calling one included; at least 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // task(index, thread) for every index below count, each once, thread in [0, threads()). The order
  // and the thread are free, so a task's result may depend on neither. Tasks must not throw. Loops
  // of several callers run one after the other.
  template <class Task>
  void run(std::size_t count, const Task& task) {
    run_erased(count, &task, [](const void* context, std::size_t index, int thread) {
      (*static_cast<const Task*>(context))(index, thread);
    });
  }

 private:
  using Call = void (*)(const void*, std::size_t, int);

  void run_erased(std::size_t count, const void* context, Call call);
  void work(int thread);
  void take_tasks(int thread);
  bool wait_for_loop(std::uint64_t seen);

  const int threads_;
  const int process_;
  std::vector<std::thread> workers_;
  std::mutex caller_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> loop_{0};
  std::atomic<std::size_t> next_{0};
  std::atomic<int> busy_{0};
  std::atomic<bool> stop_{false};
  std::size_t count_ = 0;
  const void* context_ = nullptr;
  Call call_ = nullptr;
};

}  // namespace llm_kernels
