// The linear tile of each weight format, written once over the vector type of the including unit.
//
// A panel interleaves panel_rows = 4 vectors of weight rows: for each input k the codes of those
// rows are neighbours, so that one broadcast input meets four vectors of weights. int4 keeps eight
// inputs of a row in one 32-bit word, first input lowest, and is decoded in registers.
#pragma once

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr int kVectors = 4;
constexpr size_t kPanelRows = kVectors * kWidth;
constexpr size_t kRowAhead = 2048;  // bytes

// A single row waits for memory, and the processor's own prefetching ends at every page: what
// lies kRowAhead behind `bytes` of codes is fetched. More rows compute for longer than that takes.
template <int Rows>
inline __attribute__((always_inline)) void fetch_ahead_of(const void* codes, size_t bytes) {
  if constexpr (Rows == 1) {
    const char* ahead = static_cast<const char*>(codes) + kRowAhead;
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(ahead + at);
  }
}

template <int Rows>
struct Sums {
  Vec v[Rows][kVectors];
};

template <int Rows>
inline __attribute__((always_inline)) void meet(Sums<Rows>& acc, int vector, Vec weights,
                                                const float* x) {
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) acc.v[m][vector] = fma(set(x[m]), weights, acc.v[m][vector]);
}

// Formats with one code an input: how many, and how a vector of them becomes float.
template <class Stored, Vec (*Load)(const Stored*)>
struct Plain {
  using Code = Stored;
  static size_t stored(size_t count) { return count * kPanelRows; }
  static inline __attribute__((always_inline)) Vec decode(const Code* codes) { return Load(codes); }

  template <int Rows>
  static inline __attribute__((always_inline)) void accumulate(const Code* codes, const float* x,
                                                               size_t count, Sums<Rows>& acc) {
    for (size_t k = 0; k < count; ++k) {
      fetch_ahead_of<Rows>(codes + k * kPanelRows, kPanelRows * sizeof(Code));
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        meet(acc, v, decode(codes + k * kPanelRows + v * kWidth), x + k * Rows);
      }
    }
  }
};

using Float32 = Plain<float, load>;
using BFloat16 = Plain<uint16_t, load_bfloat16>;
using Float8 = Plain<uint8_t, load_float8>;
using Int8 = Plain<int8_t, load_int8>;

struct Int4 {
  using Code = uint32_t;
  static size_t stored(size_t count) { return (count + 7) / 8 * kPanelRows; }

  template <int Rows>
  static inline __attribute__((always_inline)) void accumulate(const Code* codes, const float* x,
                                                               size_t count, Sums<Rows>& acc) {
    size_t k = 0;
    for (; k + 8 <= count; k += 8, codes += kPanelRows) {
      fetch_ahead_of<Rows>(codes, kPanelRows * sizeof(Code));
      Words words[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) words[v] = load_words(codes + v * kWidth);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) meet(acc, v, nibble(words[v], j), x + (k + j) * Rows);
      }
    }
    for (int j = 0; k < count; ++k, ++j) {
      for (int v = 0; v < kVectors; ++v) {
        meet(acc, v, nibble(load_words(codes + v * kWidth), j), x + k * Rows);
      }
    }
  }
};

// y += scale * (acc + offset * sum), for the columns that exist.
template <int Rows>
inline __attribute__((always_inline)) void flush(const LinearTile& tile, size_t group,
                                                 const float* sums, const Sums<Rows>& acc) {
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const size_t column = v * kWidth;
    if (column >= tile.columns) return;
    const size_t left = tile.columns - column;
    const size_t at = group * kPanelRows + column;
    const Vec scale = tile.scales ? load(tile.scales + at) : set(1.0f);
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
      Vec part = acc.v[m][v];
      if (tile.offsets) part = fma(load(tile.offsets + at), set(sums[m]), part);
      float* y = tile.y + m * tile.y_stride + column;
      if (left >= kWidth) {
        store(y, fma(scale, part, load(y)));
      } else {
        store_first(y, fma(scale, part, load_first(y, left)), left);
      }
    }
  }
}

template <class Format, int Rows>
void linear_rows(const LinearTile& tile) {
  const auto* codes = static_cast<const typename Format::Code*>(tile.codes);
  const float* x = tile.x;
  const float* sums = tile.sums;
  for (size_t k = tile.k_begin; k < tile.k_end;) {
    const size_t end = segment_end(k, tile.k_end, tile.group);
    Sums<Rows> acc;
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc.v[m][v] = zero();
    }
    Format::template accumulate<Rows>(codes, x, end - k, acc);
    flush(tile, k / tile.group, sums, acc);
    codes += Format::stored(end - k);
    x += (end - k) * Rows;
    sums += Rows;
    k = end;
  }
}

template <class Format, int Rows>
void linear_tile_up_to(const LinearTile& tile, size_t rows) {
  if (rows == Rows) return linear_rows<Format, Rows>(tile);
  if constexpr (Rows > 1) linear_tile_up_to<Format, Rows - 1>(tile, rows);
}

template <class Format>
void linear_tile(const LinearTile& tile, size_t rows) {
  linear_tile_up_to<Format, kTileRows>(tile, rows);
}

template <class Format>
void expand(const void* codes, size_t count, float* out) {
  const auto* from = static_cast<const typename Format::Code*>(codes);
  for (size_t i = 0; i < count * kPanelRows; i += kWidth) store(out + i, Format::decode(from + i));
}

void expand_int4(const void* codes, size_t count, float* out) {
  const auto* from = static_cast<const uint32_t*>(codes);
  for (size_t k = 0; k < count; k += 8, from += kPanelRows) {
    const int inputs = count - k < 8 ? static_cast<int>(count - k) : 8;
    for (int v = 0; v < kVectors; ++v) {
      const Words words = load_words(from + v * kWidth);
      for (int j = 0; j < inputs; ++j) {
        store(out + (k + j) * kPanelRows + v * kWidth, nibble(words, j));
      }
    }
  }
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
