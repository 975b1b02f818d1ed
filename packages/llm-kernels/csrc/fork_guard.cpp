#include "llm_kernels/fork_guard.h"

#include <pthread.h>

#include <atomic>
#include <shared_mutex>

namespace llm_kernels {
namespace {

std::atomic<int> generation{0};

// Never destroyed: at exit other threads may still be inside.
std::shared_mutex*& gate() {
  static auto* mutex = new std::shared_mutex;
  return mutex;
}

void before_fork() { gate()->lock(); }
void in_parent() { gate()->unlock(); }
void in_child() {
  // Held by a thread id that is the parent's: it cannot be unlocked here, only replaced.
  gate() = new std::shared_mutex;
  generation.fetch_add(1, std::memory_order_relaxed);
}

const int registered = pthread_atfork(before_fork, in_parent, in_child);

}  // namespace

ForkGuard::ForkGuard() { gate()->lock_shared(); }

ForkGuard::~ForkGuard() { gate()->unlock_shared(); }

int fork_generation() { return generation.load(std::memory_order_relaxed); }

}  // namespace llm_kernels
