// Transposition of two-byte and four-byte items, over the blocks of the including unit.
#pragma once

#ifdef __AVX2__
#include "simd/transpose_block.h"
#endif

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kBlockSide = 8;  // rows and columns of a block

// out [columns, out_stride] from in [rows, in_stride], any strides.
template <class Item>
inline void transpose_edge(const Item* in, size_t in_stride, size_t rows, size_t columns, Item* out,
                           size_t out_stride) {
  for (size_t j = 0; j < columns; ++j) {
    for (size_t i = 0; i < rows; ++i) out[j * out_stride + i] = in[i * in_stride + j];
  }
}

template <class Item>
void transpose(const Item* in, size_t in_stride, size_t rows, size_t columns, Item* out,
               size_t out_stride) {
  // As many rows at a time as make a cache line of the output: every line is written once.
  constexpr size_t kLine = 64 / sizeof(Item);
  const size_t whole = columns / kBlockSide * kBlockSide;
  for (size_t begin = 0; begin < rows; begin += kLine) {
    const size_t end = rows - begin < kLine ? rows : begin + kLine;
    const size_t last = begin + (end - begin) / kBlockSide * kBlockSide;
    const size_t ahead = rows - end < kLine ? rows : end + kLine;
    for (size_t j = 0; j < whole; j += kBlockSide) {
      // The rows of the next round lie too far apart for the processor to foresee them.
      if (j % kLine == 0) {
        for (size_t i = end; i < ahead; ++i) __builtin_prefetch(in + i * in_stride + j, 0, 2);
      }
      for (size_t i = begin; i < last; i += kBlockSide) {
        transpose_block(in + i * in_stride + j, in_stride, out + j * out_stride + i, out_stride);
      }
      transpose_edge(in + last * in_stride + j, in_stride, end - last, kBlockSide,
                     out + j * out_stride + last, out_stride);
    }
    transpose_edge(in + begin * in_stride + whole, in_stride, end - begin, columns - whole,
                   out + whole * out_stride + begin, out_stride);
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
