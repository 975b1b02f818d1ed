// The GIL, given back for as long as one of these lives.
#pragma once

#include <Python.h>
#include <unistd.h>

namespace llm_kernels::bindings {

class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      // The interpreter ends, and unwinds a thread that comes for its lock (pthread_exit), which no
      // destructor can pass on. There is nothing left to do: wait here for the end of the process.
      for (;;) pause();
    }
  }
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace llm_kernels::bindings
