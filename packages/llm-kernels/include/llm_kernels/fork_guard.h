// Keeps what a forked child could not go on with from being half done while the process forks.
#pragma once

namespace llm_kernels {

// fork() waits while one of these lives, in whatever thread. Not recursive.
class ForkGuard {
 public:
  ForkGuard();
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
};

// How many forks lie between this process and the one that loaded the library: a thread started
// while another number held does not exist here.
int fork_generation();

}  // namespace llm_kernels
