// Ops that work row by row: norms, activations, rotary embedding.
#include <algorithm>

#include "llm_kernels/activation.h"
#include "llm_kernels/layer_norm.h"
#include "llm_kernels/rms_norm.h"
#include "llm_kernels/rope.h"

namespace llm_kernels {
namespace {

constexpr std::size_t kFloatsPerTask = 1 << 15;

// body(begin, end) over all rows, in tasks that are worth handing to a thread.
template <class Body>
void over_rows(ThreadPool& pool, std::size_t rows, std::size_t row_floats, const Body& body) {
  const std::size_t grain =
      std::max<std::size_t>(1, kFloatsPerTask / std::max<std::size_t>(1, row_floats));
  pool.run((rows + grain - 1) / grain,
           [&](std::size_t task, int) { body(task * grain, std::min(rows, (task + 1) * grain)); });
}

}  // namespace

void rms_norm(const KernelTable& table, ThreadPool& pool, const float* x, const float* weight,
              float eps, std::size_t rows, std::size_t n, float* y) {
  over_rows(pool, rows, n, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      table.rms_norm(x + row * n, weight, eps, n, y + row * n);
    }
  });
}

void layer_norm(const KernelTable& table, ThreadPool& pool, const float* x, const float* weight,
                const float* bias, float eps, std::size_t rows, std::size_t n, float* y) {
  over_rows(pool, rows, n, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      table.layer_norm(x + row * n, weight, bias, eps, n, y + row * n);
    }
  });
}

void activation(const KernelTable& table, ThreadPool& pool, Activation kind, const float* x,
                const float* up, std::size_t rows, std::size_t n, float* y) {
  over_rows(pool, rows, n, [&](std::size_t begin, std::size_t end) {
    const std::size_t at = begin * n;
    const std::size_t count = (end - begin) * n;
    if (up != nullptr) {
      table.activate_gated[kind](x + at, up + at, count, y + at);
    } else {
      table.activate[kind](x + at, count, y + at);
    }
  });
}

void rope_rows(const KernelTable& table, const RopeArguments& arguments, std::size_t begin,
               std::size_t end) {
  const auto rotate =
      arguments.pairing == RopePairing::half ? table.rope_half : table.rope_interleaved;
  for (std::size_t row = begin; row < end; ++row) {
    float* x = arguments.x + row * arguments.row_stride + arguments.first;
    const float* cos = arguments.cos + row * arguments.pairs;
    const float* sin = arguments.sin + row * arguments.pairs;
    for (std::size_t head = 0; head < arguments.heads; ++head) {
      rotate(x + head * arguments.head_dim, cos, sin, arguments.pairs);
    }
  }
}

void rope(const KernelTable& table, ThreadPool& pool, const RopeArguments& arguments) {
  over_rows(pool, arguments.rows, arguments.heads * arguments.head_dim,
            [&](std::size_t begin, std::size_t end) { rope_rows(table, arguments, begin, end); });
}

}  // namespace llm_kernels
