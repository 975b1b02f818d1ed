// The threads of the single ops: one pool for the process, of which a call has as many as it asks
// for.
#pragma once

#include "llm_kernels/thread_pool.h"

namespace llm_kernels::bindings {

// std::invalid_argument for a number of threads that no pool takes.
ThreadPool shared_pool(int threads);

}  // namespace llm_kernels::bindings
