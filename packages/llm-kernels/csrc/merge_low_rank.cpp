#include "llm_kernels/merge_low_rank.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace llm_kernels {
namespace {

constexpr std::size_t kItemsPerTask = 1 << 17;
constexpr std::size_t kRows = 8;  // a task's rows are a multiple of it: whole tiles
// What is transposed: whole cache lines of the output, from columns that stay in a near cache.
constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kColumns = 256;

std::size_t item_bytes(FloatType type) { return type == kTypeFloat32 ? 4 : 2; }

LowRankRows part_of(const MergeLowRank& merge, std::size_t row, std::size_t rows,
                    std::size_t column, std::size_t columns) {
  const auto* w = static_cast<const char*>(merge.w);
  return {w + (row * merge.stride + column) * item_bytes(merge.from),
          merge.stride,
          merge.b + row * merge.rank,
          merge.a + column,
          merge.columns,
          merge.rank,
          rows,
          columns,
          static_cast<char*>(merge.out) + (row * merge.columns + column) * item_bytes(merge.to),
          merge.columns};
}

// Lines of the output from memory that holds them one after the other. What is written here is read
// by others, later: past the caches, nothing is read before it is overwritten.
template <class Item>
void put_lines(const Item* lines, std::size_t count, Item* out, std::size_t stride) {
#ifdef __SSE2__
  const std::size_t off = reinterpret_cast<std::uintptr_t>(out) | stride * sizeof(Item);
  if (off % kLineBytes == 0) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto* from = reinterpret_cast<const __m128i*>(lines + i * (kLineBytes / sizeof(Item)));
      auto* to = reinterpret_cast<__m128i*>(out + i * stride);
      for (int j = 0; j < 4; ++j) _mm_stream_si128(to + j, _mm_load_si128(from + j));
    }
    _mm_sfence();
    return;
  }
#endif
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(out + i * stride, lines + i * (kLineBytes / sizeof(Item)), kLineBytes);
  }
}

// Some columns at a time are summed to memory of the task's own, and transposed from there.
template <class Item>
void transposed_rows(const KernelTable& table, const MergeLowRank& merge, std::size_t row,
                     std::size_t rows) {
  constexpr std::size_t kItems = kLineBytes / sizeof(Item);
  alignas(64) Item sums[kItems * kColumns];
  alignas(64) Item lines[kItems * kColumns];
  for (std::size_t column = 0; column < merge.columns; column += kColumns) {
    const std::size_t columns = std::min(kColumns, merge.columns - column);
    LowRankRows part = part_of(merge, row, rows, column, columns);
    part.out = sums;
    part.out_stride = columns;
    table.merge_rows[merge.from][merge.to](part);
    Item* out = static_cast<Item*>(merge.out) + column * merge.rows + row;
    const bool whole = rows == kItems;
    Item* to = whole ? lines : out;
    const std::size_t stride = whole ? kItems : merge.rows;
    if constexpr (sizeof(Item) == 2) {
      table.transpose16(sums, columns, rows, columns, to, stride);
    } else {
      table.transpose32(sums, columns, rows, columns, to, stride);
    }
    if (whole) put_lines(lines, columns, out, merge.rows);
  }
}

}  // namespace

void merge_low_rank(const KernelTable& table, ThreadPool& pool, const MergeLowRank& merge) {
  const bool transposed = merge.transposed;
  const std::size_t wanted = kItemsPerTask / std::max<std::size_t>(1, merge.columns);
  const std::size_t grain =
      transposed ? kLineBytes / item_bytes(merge.to) : std::max(kRows, wanted / kRows * kRows);
  pool.run((merge.rows + grain - 1) / grain, [&](std::size_t task, int) {
    const std::size_t row = task * grain, rows = std::min(grain, merge.rows - row);
    if (!transposed) {
      table.merge_rows[merge.from][merge.to](part_of(merge, row, rows, 0, merge.columns));
    } else if (merge.to == kTypeFloat32) {
      transposed_rows<std::uint32_t>(table, merge, row, rows);
    } else {
      transposed_rows<std::uint16_t>(table, merge, row, rows);
    }
  });
}

}  // namespace llm_kernels
