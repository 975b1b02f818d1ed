#include "llm_kernels/thread_pool.h"

#include <chrono>

#if defined(__linux__)
#include <sched.h>
#endif
#include <unistd.h>

namespace llm_kernels {
namespace {

using Clock = std::chrono::steady_clock;

// Long enough to bridge the serial parts of a step, short enough to leave the core to others.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kSpinsPerLook = 64;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Spins until ready() or until kSpin has passed; whether ready() came true.
template <class Ready>
bool spin_until(const Ready& ready) {
  const auto deadline = Clock::now() + kSpin;
  do {
    for (int i = 0; i < kSpinsPerLook; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (Clock::now() < deadline);
  return ready();
}

}  // namespace

int available_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count > 0 ? static_cast<int>(count) : 1;
}

ThreadPool::ThreadPool(int threads) : threads_(threads > 1 ? threads : 1), process_(getpid()) {
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  for (int thread = 1; thread < threads_; ++thread) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  if (getpid() != process_) {  // a forked child has no such threads to join
    for (std::thread& worker : workers_) worker.detach();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(sleep_);
    stop_ = true;
    loop_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(std::size_t count, const void* context, Call call) {
  if (count <= 1 || threads_ == 1 || getpid() != process_) {
    for (std::size_t index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  std::lock_guard<std::mutex> one_caller(caller_);
  context_ = context;
  call_ = call;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(threads_ - 1, std::memory_order_relaxed);
  {
    std::lock_guard<std::mutex> lock(sleep_);
    loop_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  take_tasks(0);
  const auto done = [this] { return busy_.load(std::memory_order_acquire) == 0; };
  while (!spin_until(done)) std::this_thread::yield();
}

void ThreadPool::take_tasks(int thread) {
  for (;;) {
    const std::size_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count_) return;
    call_(context_, index, thread);
  }
}

bool ThreadPool::wait_for_loop(std::uint64_t seen) {
  const auto changed = [this, seen] { return loop_.load(std::memory_order_acquire) != seen; };
  if (!spin_until(changed)) {
    std::unique_lock<std::mutex> lock(sleep_);
    wake_.wait(lock, changed);
  }
  return !stop_;
}

void ThreadPool::work(int thread) {
  std::uint64_t seen = 0;
  while (wait_for_loop(seen)) {
    ++seen;
    take_tasks(thread);
    busy_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace llm_kernels
