// The linear tile over int8 inputs: products of bytes are summed as integers, four inputs a lane.
//
// For each four inputs (a quad) the panel holds the codes of its rows side by side, four bytes a
// row; one broadcast of an input row's quad meets a vector of weight rows. int4 keeps two quads of
// a row in four bytes, the first in the low nibbles, and its codes are unsigned. Sums of a segment
// are exact; then they are scaled and added to the output in float, in the same order for every
// row.
#pragma once

#include "kernels/linear.h"
#include "kernels/math.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kVectorBytes = 4 * kWidth;
constexpr size_t kPanelBytes = kVectors * kVectorBytes;

// How many vectors of a panel a tile of `rows` meets at once, so that its sums stay in registers.
constexpr int dot_vectors(int rows) {
  return 4 * rows <= kDotSums ? 4 : 2 * rows <= kDotSums ? 2 : 1;
}

template <int Rows, int Vectors>
struct DotSums {
  DotSum at[Rows][Vectors];
};

template <int Rows, int Vectors>
inline __attribute__((always_inline)) void fold_all(DotSums<Rows, Vectors>& acc) {
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) fold(acc.at[m][v]);
  }
}

struct Int8Dot {
  static constexpr size_t kInputBytes = 1;
  static size_t stored(size_t count) { return (count + 3) / 4 * kPanelBytes; }

  template <int Rows, int Vectors>
  static inline __attribute__((always_inline)) void accumulate(const uint8_t* codes,
                                                               const int8_t* x, size_t count,
                                                               DotSums<Rows, Vectors>& acc) {
    for (size_t quad = 0; quad < (count + 3) / 4; ++quad, codes += kPanelBytes, x += 4 * Rows) {
      fetch_ahead_of<Rows>(codes, kPanelBytes);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const Int8Codes w = load_codes(codes + v * kVectorBytes);
#pragma GCC unroll 8
        for (int m = 0; m < Rows; ++m) dot_int8(acc.at[m][v], w, broadcast_quad(x + 4 * m));
      }
    }
  }
};

struct Int4Dot {
  static constexpr size_t kInputBytes = 1;
  static size_t stored(size_t count) { return (count + 7) / 8 * kPanelBytes; }

  // Eight inputs.
  template <int Rows, int Vectors>
  static inline __attribute__((always_inline)) void meet_octet(const uint8_t* codes,
                                                               const int8_t* x,
                                                               DotSums<Rows, Vectors>& acc) {
    fetch_ahead_of<Rows>(codes, kPanelBytes);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const Bytes both = load_bytes(codes + v * kVectorBytes);
      const Bytes low = low_nibbles(both);
      const Bytes high = high_nibbles(both);
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m) {
        dot_nibbles(acc.at[m][v], low, broadcast_quad(x + 4 * m));
        dot_nibbles(acc.at[m][v], high, broadcast_quad(x + 4 * (Rows + m)));
      }
    }
  }

  template <int Rows, int Vectors>
  static inline __attribute__((always_inline)) void accumulate(const uint8_t* codes,
                                                               const int8_t* x, size_t count,
                                                               DotSums<Rows, Vectors>& acc) {
    size_t octets = (count + 7) / 8;
    for (; octets >= 4; octets -= 4) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        meet_octet<Rows, Vectors>(codes + i * kPanelBytes, x + i * 8 * Rows, acc);
      }
      codes += 4 * kPanelBytes;
      x += 32 * Rows;
      fold_all(acc);
    }
    for (; octets > 0; --octets, codes += kPanelBytes, x += 8 * Rows) {
      meet_octet<Rows, Vectors>(codes, x, acc);
    }
    fold_all(acc);
  }
};

// y += scale * (x scale * sum + offset * x sum), for the columns that exist.
template <int Rows, int Vectors>
inline __attribute__((always_inline)) void flush_dot(const DotTile& tile, size_t group, int first,
                                                     const float* x_scales, const float* x_sums,
                                                     const DotSums<Rows, Vectors>& acc) {
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const size_t column = static_cast<size_t>(first + v) * kWidth;
    if (column >= tile.columns) return;
    const size_t left = tile.columns - column;
    const size_t at = group * kPanelRows + column;
    const Vec scale = load(tile.scales + at);
    const Vec offset = tile.offsets ? load(tile.offsets + at) : set(tile.offset);
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
      Vec part = mul(set(x_sums[m]), offset);
      part = fma(set(x_scales[m]), to_float(acc.at[m][v]), part);
      float* y = tile.y + m * tile.y_stride + column;
      if (left >= kWidth) {
        store(y, fma(scale, part, load(y)));
      } else {
        store_first(y, fma(scale, part, load_first(y, left)), left);
      }
    }
  }
}

template <class Format, int Rows, int kAtOnce = dot_vectors(Rows)>
void dot_rows(const DotTile& tile) {
  for (int first = 0; first < kVectors; first += kAtOnce) {
    if (static_cast<size_t>(first) * kWidth >= tile.columns) return;
    const auto* codes = static_cast<const uint8_t*>(tile.codes) + first * kVectorBytes;
    const int8_t* x = tile.x;
    const float* x_scales = tile.x_scales;
    const float* x_sums = tile.x_sums;
    for (size_t k = tile.k_begin; k < tile.k_end;) {
      const size_t end = segment_end(k, tile.k_end, tile.group, kDotSegment);
      DotSums<Rows, kAtOnce> acc;
#pragma GCC unroll 8
      for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
        for (int v = 0; v < kAtOnce; ++v) acc.at[m][v] = no_dot();
      }
      Format::template accumulate<Rows, kAtOnce>(codes, x, end - k, acc);
      flush_dot<Rows, kAtOnce>(tile, k / tile.group, first, x_scales, x_sums, acc);
      codes += Format::stored(end - k);
      x += (end - k) * Rows * Format::kInputBytes;
      x_scales += Rows;
      x_sums += Rows;
      k = end;
    }
  }
}

template <class Format, int Rows>
void dot_tile_up_to(const DotTile& tile, size_t rows) {
  if (rows == Rows) return dot_rows<Format, Rows>(tile);
  if constexpr (Rows > 1) dot_tile_up_to<Format, Rows - 1>(tile, rows);
}

template <class Format>
void dot_tile(const DotTile& tile, size_t rows) {
  dot_tile_up_to<Format, kDotTileRows>(tile, rows);
}

// See KernelTable::round_int8.
float round_int8(const float* x, size_t n, float scale, int8_t* codes, float* sum) {
  Vec largest = zero();
  Vec trace = zero();  // NaN where an input is no number or infinite
  for (size_t i = 0; i < n; i += kWidth) {
    const Vec part = load_live(x + i, n - i < kWidth ? n - i : kWidth);
    largest = max(largest, max(part, sub(zero(), part)));
    trace = fma(part, zero(), trace);
  }
  const float used = scale != 0.0f ? scale : highest(largest) / 127.0f;
  // A scale so small that it has no inverse stands for zeros.
  const Vec inverse = set(used > 1e-37f ? 1.0f / used : 0.0f);
  Vec total = zero();
  for (size_t i = 0; i < n; i += kWidth) {
    const size_t live = n - i < kWidth ? n - i : kWidth;
    const Vec code = nearest(mul(load_live(x + i, live), inverse));
    const Vec kept = min(max(code, set(-127.0f)), set(127.0f));
    total = add(total, kept);
    if (live == kWidth) {
      store_int8(codes + i, kept);
    } else {
      int8_t last[kWidth];
      store_int8(last, kept);
      __builtin_memcpy(codes + i, last, live);
    }
  }
  *sum = llm_kernels::LLM_KERNELS_UNIT::sum(total);
  return used + llm_kernels::LLM_KERNELS_UNIT::sum(trace);
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
