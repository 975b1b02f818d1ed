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
// Below, tiles are too empty: at 4 rows of 4096 x 2048 int4 takes twice as long here as by vectors,
// at 8 the same; int8 is even at 7.
constexpr size_t kMatrixFromInt8 = 7;
constexpr size_t kMatrixFromInt4 = 8;
// The unit adds products of bfloat16 in an order of its own, so a single row must take it too.
constexpr size_t kMatrixFromBFloat16 = 1;

// GCC's intrinsics do not tell it that tiles and their shapes are read from memory: without this it
// may write there later, or not at all.
inline void written() { __asm__ volatile("" ::: "memory"); }

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
  Tiles(size_t rows, size_t run) : run_(run) { shape(rows); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  // For another number of rows; 150 cycles where it is one.
  void shape(size_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    const size_t low = rows < kTileSide ? rows : kTileSide;
    const size_t high = rows > kTileSide ? rows - kTileSide : low;
    TileConfig config;
    for (int tile = 0; tile < 4; ++tile) config.set(tile, tile < 2 ? low : high, 64);
    config.set(4, low, run_);
    config.set(5, high, run_);
    for (int tile = 6; tile < 8; ++tile) config.set(tile, run_ / 4, 64);
    __asm__ volatile("" : : "r"(&config) : "memory");  // see written(); this one is our own
    _tile_loadconfig(&config);
  }

 private:
  size_t run_;
  size_t rows_ = 0;
};

inline void clear_sums() {
  written();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

// What of x meets what of the weights, by tiles: two by two, one by two, or one by four.
enum class Shape { tall, small, wide };

// x: runs of `run` bytes, one behind the other; tall: the second tile's behind those of the first.
// codes: [run / 4] rows, `stride` bytes apart.
#define LLM_KERNELS_MEET(multiply, shape, x, run, codes, stride) \
  _tile_loadd(4, x, run);                                        \
  _tile_loadd(6, codes, stride);                                 \
  _tile_loadd(7, (codes) + 64, stride);                          \
  multiply(0, 4, 6);                                             \
  multiply(1, 4, 7);                                             \
  if constexpr (shape == Shape::tall) {                          \
    _tile_loadd(5, (x) + kTileSide * (run), run);                \
    multiply(2, 5, 6);                                           \
    multiply(3, 5, 7);                                           \
  } else if constexpr (shape == Shape::wide) {                   \
    _tile_loadd(6, (codes) + 128, stride);                       \
    _tile_loadd(7, (codes) + 192, stride);                       \
    multiply(2, 4, 6);                                           \
    multiply(3, 4, 7);                                           \
  }

// Signed codes of x meet weights to which 128 was added, or which are nibbles.
struct Int8Matrix {
  using Sum = int32_t;
  static constexpr bool kScaled = true;
  template <Shape shape>
  static void meet(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET(_tile_dpbsud, shape, x, run, codes, stride);
  }
  static Vec load_sums(const Sum* p) { return {_mm512_cvtepi32_ps(_mm512_load_si512(p))}; }
};

struct BFloat16Matrix {
  using Sum = float;
  static constexpr bool kScaled = false;
  template <Shape shape>
  static void meet(const int8_t* x, size_t run, const uint8_t* codes, size_t stride) {
    LLM_KERNELS_MEET(_tile_dpbf16ps, shape, x, run, codes, stride);
  }
  static Vec load_sums(const Sum* p) { return load(p); }
};

#undef LLM_KERNELS_MEET

// Sums to rows that are `stride` bytes apart.
template <Shape shape>
inline void store_sums(void* to, size_t stride) {
  auto* bytes = static_cast<uint8_t*>(to);
  _tile_stored(0, bytes, stride);
  _tile_stored(1, bytes + 64, stride);
  if constexpr (shape != Shape::small) {
    auto* second = shape == Shape::tall ? bytes + kTileSide * stride : bytes + 128;
    _tile_stored(2, second, stride);
    _tile_stored(3, second + 64, stride);
  }
}

// Sums that go on from what rows hold.
template <Shape shape>
inline void load_sums(const void* from, size_t stride) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  written();
  _tile_loadd(0, bytes, stride);
  _tile_loadd(1, bytes + 64, stride);
  if constexpr (shape != Shape::small) {
    const auto* second = shape == Shape::tall ? bytes + kTileSide * stride : bytes + 128;
    _tile_loadd(2, second, stride);
    _tile_loadd(3, second + 64, stride);
  }
}

// 32 numbers in bfloat16, rounded to even; numbers below the least normal one are zeros.
inline void store_bfloat16(uint16_t* p, Vec low, Vec high) {
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v));
}
// 32 numbers of two rows, side by side in pairs. Quarters are sorted first, because unpacking stays
// within lanes of 128 bits.
inline void store_pairs(uint16_t* p, const uint16_t* first, const uint16_t* second) {
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i even = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(first));
  const __m512i odd = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(second));
  _mm512_storeu_si512(p, _mm512_unpacklo_epi16(even, odd));
  _mm512_storeu_si512(p + 32, _mm512_unpackhi_epi16(even, odd));
}

}  // namespace llm_kernels::LLM_KERNELS_UNIT
