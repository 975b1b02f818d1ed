// The tiles of AMX: eight registers of up to 16 rows of 64 bytes.
//
// Tiles 0 to 3 hold sums, 32 bits each; 4 and 5 rows of x; 6 and 7 runs of weights. The intrinsics
// take a tile's number as written, hence no loops over them.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

namespace llm_kernels::LLM_KERNELS_UNIT {

constexpr size_t kMatrixRows = 32;  // two tiles of x
constexpr size_t kTileSide = 16;
constexpr size_t kMatrixFromInt8 = 4;
constexpr size_t kMatrixFromInt4 = 4;
// The unit adds products of bfloat16 in an order of its own, so a single row must take it too.
constexpr size_t kMatrixFromBFloat16 = 1;

// The operand of _tile_loadconfig (Intel's manual, volume 1, chapter 18).
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, size_t count, size_t bytes) {
    rows[tile] = static_cast<uint8_t>(count);
    row_bytes[tile] = static_cast<uint16_t>(bytes);
  }
};

// Until it goes, the thread's tiles have the shapes that `rows` rows of x in runs of `run` bytes
// need. Tiles 2 and 3 belong to the upper rows where there are more than 16, else to more columns.
class Tiles {
 public:
  Tiles(size_t rows, size_t run) {
    const size_t low = rows < kTileSide ? rows : kTileSide;
    const size_t high = rows > kTileSide ? rows - kTileSide : low;
    TileConfig config;
    for (int tile = 0; tile < 4; ++tile) config.set(tile, tile < 2 ? low : high, 64);
    config.set(4, low, run);
    config.set(5, high, run);
    for (int tile = 6; tile < 8; ++tile) config.set(tile, run / 4, 64);
    _tile_loadconfig(&config);
  }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// Two tiles of x, the second after the rows of the first; two of weights, side by side.
#define LLM_KERNELS_MEET_TALL(multiply, x, run, codes, stride)   \
  _tile_loadd(4, x, run);                                        \
  _tile_loadd(6, codes, stride);                                 \
  _tile_loadd(7, static_cast<const uint8_t*>(codes) + 64, stride); \
  multiply(0, 4, 6);                                             \
  multiply(1, 4, 7);                                             \
  _tile_loadd(5, (x) + kTileSide * (run), run);                  \
  multiply(2, 5, 6);                                             \
  multiply(3, 5, 7)

// One tile of x, four of weights.
#define LLM_KERNELS_MEET_WIDE(multiply, x, run, codes, stride)      \
  _tile_loadd(4, x, run);                                           \
  _tile_loadd(6, codes, stride);                                    \
  _tile_loadd(7, static_cast<const uint8_t*>(codes) + 64, stride);  \
  multiply(0, 4, 6);                                                \
  multiply(1, 4, 7);                                                \
  _tile_loadd(6, static_cast<const uint8_t*>(codes) + 128, stride); \
  _tile_loadd(7, static_cast<const uint8_t*>(codes) + 192, stride); \
  multiply(2, 4, 6);                                                \
  multiply(3, 4, 7)

// Signed codes of x meet weights to which 128 was added, or which are nibbles.
struct Int8Matrix {
  using Sum = int32_t;
  static constexpr bool kScaled = true;
  static void meet_tall(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET_TALL(_tile_dpbsud, x, run, codes, stride);
  }
  static void meet_wide(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET_WIDE(_tile_dpbsud, x, run, codes, stride);
  }
  static Vec load_sums(const Sum* p) { return {_mm512_cvtepi32_ps(_mm512_load_si512(p))}; }
};

struct BFloat16Matrix {
  using Sum = float;
  static constexpr bool kScaled = false;
  static void meet_tall(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET_TALL(_tile_dpbf16ps, x, run, codes, stride);
  }
  static void meet_wide(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET_WIDE(_tile_dpbf16ps, x, run, codes, stride);
  }
  static Vec load_sums(const Sum* p) { return load(p); }
};

// To [32][32] of two vectors a row, or [16][64] of four.
template <int Vectors>
inline void store_sums(void* to) {
  constexpr size_t kStride = 64 * Vectors;
  auto* bytes = static_cast<uint8_t*>(to);
  auto* second = Vectors == 2 ? bytes + kTileSide * kStride : bytes + 128;
  _tile_stored(0, bytes, kStride);
  _tile_stored(1, bytes + 64, kStride);
  _tile_stored(2, second, kStride);
  _tile_stored(3, second + 64, kStride);
}

#undef LLM_KERNELS_MEET_TALL
#undef LLM_KERNELS_MEET_WIDE

}  // namespace llm_kernels::LLM_KERNELS_UNIT
