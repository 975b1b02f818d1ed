#include "llm_kernels/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "llm_kernels/fork_guard.h"

namespace llm_kernels {
namespace {

using Clock = std::chrono::steady_clock;

// Long enough to bridge the serial parts of a step, short enough to leave the core to others.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kSpinsPerLook = 64;

// The state of a loop in one word: its number, whether it takes workers, how many are inside.
constexpr std::uint64_t kInside = 0xFFFF;
constexpr std::uint64_t kOpen = std::uint64_t{1} << 16;
constexpr int kNumberShift = 17;

static_assert(ThreadPool::kMostThreads <= static_cast<int>(kInside));

void relax() {
#if defined(LLM_KERNELS_X86_64)
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

int checked_threads(int threads) {
  if (threads < 1 || threads > ThreadPool::kMostThreads) {
    throw std::invalid_argument("threads is " + std::to_string(threads) + "; it must be 1 to " +
                                std::to_string(ThreadPool::kMostThreads) + ".");
  }
  return threads;
}

}  // namespace

// What caller and workers share. On the heap, because a forked child must leave it as it is: its
// locks may be held, and its condition waited for, by threads that only the parent has.
struct ThreadPool::Crew {
  std::vector<std::thread> workers;  // the first is thread 1
  std::mutex caller;
  std::mutex sleep;
  std::condition_variable wake;  // a loop is open, or stop
  std::condition_variable left;  // nobody is inside a closed loop
  std::atomic<std::uint64_t> state{0};
  std::atomic<std::size_t> next{0};
  std::atomic<int> limit{0};  // threads of the loop, the caller's included
  std::atomic<bool> stop{false};
  std::size_t count = 0;
  const void* context = nullptr;
  Call call = nullptr;

  ~Crew() {
    {
      std::lock_guard<std::mutex> lock(sleep);
      stop = true;
    }
    wake.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  // To `threads` in all, the caller's included.
  void grow(int threads) {
    std::lock_guard<std::mutex> no_loop(caller);
    try {
      for (int thread = static_cast<int>(workers.size()) + 1; thread < threads; ++thread) {
        workers.emplace_back([this, thread] { work(thread); });
      }
    } catch (const std::system_error& error) {
      throw std::invalid_argument("The system did not start " + std::to_string(threads) +
                                  " threads (" + error.what() + "); ask for fewer.");
    }
  }

  bool empty() const { return (state.load(std::memory_order_acquire) & kInside) == 0; }

  void run(std::size_t tasks, const void* with, Call function, int threads) {
    std::lock_guard<std::mutex> one_caller(caller);
    limit.store(threads, std::memory_order_relaxed);
    count = tasks;
    context = with;
    call = function;
    next.store(0, std::memory_order_relaxed);
    const std::uint64_t number = (state.load(std::memory_order_relaxed) >> kNumberShift) + 1;
    {
      std::lock_guard<std::mutex> lock(sleep);
      state.store((number << kNumberShift) | kOpen, std::memory_order_release);
    }
    wake.notify_all();
    take_tasks(0);
    // Only who is inside is waited for: a worker that has no core yet would hold up the caller.
    state.fetch_and(~kOpen, std::memory_order_acq_rel);
    const auto done = [this] { return empty(); };
    if (spin_until(done)) return;
    std::unique_lock<std::mutex> lock(sleep);
    left.wait(lock, done);
  }

  void take_tasks(int thread) {
    for (;;) {
      const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      call(context, index, thread);
    }
  }

  bool takes(int thread) const { return thread < limit.load(std::memory_order_relaxed); }

  // Waits for a loop after number `seen` that takes the thread; its state, or 0 for the end.
  std::uint64_t wait_for_loop(int thread, std::uint64_t seen) {
    std::uint64_t found = 0;
    const auto ready = [this, thread, seen, &found] {
      found = state.load(std::memory_order_acquire);
      return stop.load(std::memory_order_relaxed) ||
             ((found & kOpen) != 0 && found >> kNumberShift != seen && takes(thread));
    };
    if (!spin_until(ready)) {
      std::unique_lock<std::mutex> lock(sleep);
      wake.wait(lock, ready);
    }
    return stop ? 0 : found;
  }

  void work(int thread) {
    std::uint64_t seen = 0;
    while (std::uint64_t found = wait_for_loop(thread, seen)) {
      // Fails where another worker came or went, or where the loop was closed: look again.
      if (!state.compare_exchange_weak(found, found + 1, std::memory_order_acq_rel)) continue;
      seen = found >> kNumberShift;
      if (takes(thread)) take_tasks(thread);  // the limit may have been that of another loop
      const std::uint64_t before = state.fetch_sub(1, std::memory_order_acq_rel);
      if ((before & (kOpen | kInside)) == 1) {
        {
          std::lock_guard<std::mutex> lock(sleep);
        }  // the caller is before its look, or asleep
        left.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int threads)
    : threads_(checked_threads(threads)), generation_(fork_generation()) {
  if (threads_ == 1) return;
  auto crew = std::make_unique<Crew>();
  crew->grow(threads_);
  grown_ = threads_;
  crew_ = crew.release();
}

ThreadPool::ThreadPool(Crew* lent, int threads)
    : threads_(threads), generation_(fork_generation()), crew_(lent), lent_(true) {}

ThreadPool::~ThreadPool() {
  if (!lent_ && generation_ == fork_generation()) delete crew_;
}

ThreadPool ThreadPool::lend(int threads) {
  if (checked_threads(threads) == 1) return ThreadPool(nullptr, 1);
  if (crew_ == nullptr) crew_ = new Crew;
  if (threads > grown_) crew_->grow(threads);
  grown_ = std::max(grown_, threads);
  return ThreadPool(crew_, threads);
}

void ThreadPool::run_erased(std::size_t count, const void* context, Call call) {
  const bool alone = crew_ == nullptr || alone_.load(std::memory_order_relaxed);
  if (count <= 1 || alone || generation_ != fork_generation()) {
    for (std::size_t index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  crew_->run(count, context, call, threads_);
}

}  // namespace llm_kernels
