// The threads of the single ops: a pool for each number of threads asked for, kept for the process.
#pragma once

#include "llm_kernels/thread_pool.h"

namespace llm_kernels::bindings {

// std::invalid_argument for a number of threads that no pool takes.
ThreadPool& shared_pool(int threads);

}  // namespace llm_kernels::bindings
