#include "llm_kernels/transpose.h"

#include <algorithm>

namespace llm_kernels {
namespace {

constexpr std::size_t kItemsPerTask = 1 << 18;
constexpr std::size_t kColumns = 8;  // a task's columns are a multiple of it: whole blocks

// body(first column, columns) over all columns, in tasks that are worth handing to a thread.
template <class Body>
void over_columns(ThreadPool& pool, std::size_t rows, std::size_t columns, const Body& body) {
  const std::size_t wanted = kItemsPerTask / std::max<std::size_t>(1, rows);
  const std::size_t grain = std::max(kColumns, wanted / kColumns * kColumns);
  pool.run((columns + grain - 1) / grain, [&](std::size_t task, int) {
    body(task * grain, std::min(grain, columns - task * grain));
  });
}

}  // namespace

void transpose(const KernelTable& table, ThreadPool& pool, const std::uint16_t* in,
               std::size_t stride, std::size_t rows, std::size_t columns, std::uint16_t* out) {
  over_columns(pool, rows, columns, [&](std::size_t first, std::size_t count) {
    table.transpose16(in + first, stride, rows, count, out + first * rows, rows);
  });
}

void transpose(const KernelTable& table, ThreadPool& pool, const std::uint32_t* in,
               std::size_t stride, std::size_t rows, std::size_t columns, std::uint32_t* out) {
  over_columns(pool, rows, columns, [&](std::size_t first, std::size_t count) {
    table.transpose32(in + first, stride, rows, count, out + first * rows, rows);
  });
}

}  // namespace llm_kernels
