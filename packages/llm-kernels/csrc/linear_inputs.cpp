#include "linear_inputs.h"

#include <cstring>

namespace llm_kernels {
namespace {

using Rows = std::vector<GrowingBuffer<std::int8_t>>;

std::size_t longest_segment(const InputKey& key) {
  return key.form.is_int8() ? kDotSegment : kSegment;
}

std::size_t next_segment(std::size_t k, const InputKey& key, std::size_t inputs) {
  return segment_end(k, inputs, key.group ? key.group : inputs, longest_segment(key));
}

bool is_exact(const InputForm& form) { return form.kind == InputKind::exact; }

// A row of `inputs` numbers as the weights meet it, in `scratch` of row_bytes().
const float* rounded_row(const KernelTable& table, const InputForm& form, const float* row,
                         std::size_t inputs, std::int8_t* scratch) {
  if (is_exact(form)) return row;
  auto* floats = reinterpret_cast<float*>(scratch);
  if (form.kind == InputKind::bfloat16) {
    auto* halves = reinterpret_cast<std::uint16_t*>(floats + inputs);
    table.round_bfloat16(row, inputs, halves);
    table.widen_bfloat16(halves, inputs, floats);
  } else {
    table.round_float8(row, inputs, form.scale, floats);
  }
  return floats;
}

void pack_floats(const KernelTable& table, ThreadPool& pool, const Stripe& stripe,
                 const InputKey& key, const Rows& scratch, StripeInputs& out) {
  const std::size_t k = stripe.inputs;
  if (stripe.rows == 1 && is_exact(key.form)) {
    out.floats = stripe.row(0, 0);
    return;
  }
  if (out.x.size() < stripe.rows * k) out.x.resize(stripe.rows * k);
  out.floats = out.x.data();
  pool.run(stripe.tiles(), [&](std::size_t tile, int thread) {
    const std::size_t rows = stripe.rows_in(tile);
    std::int8_t* room = scratch[static_cast<std::size_t>(thread)].data();
    for (std::size_t m = 0; m < rows; ++m) {
      const float* from = rounded_row(table, key.form, stripe.row(tile, m), k, room);
      for (std::size_t begin = 0; begin < k; begin += kSegment) {
        const std::size_t chunk = std::min(kSegment, k - begin);
        float* to = out.x.data() + stripe.float_place(begin, chunk, tile) + m;
        for (std::size_t i = 0; i < chunk; ++i) to[i * rows] = from[begin + i];
      }
    }
  });
}

// Sums of x over each segment, [tile][segment][row of tile].
void sum_segments(const Stripe& stripe, const InputKey& key, std::vector<float>& sums) {
  const std::size_t k = stripe.inputs;
  sums.resize(segments_before(k, key, k) * stripe.rows);
  float* to = sums.data();
  for (std::size_t tile = 0; tile < stripe.tiles(); ++tile) {
    for (std::size_t at = 0; at < k;) {
      const std::size_t end = next_segment(at, key, k);
      for (std::size_t m = 0; m < stripe.rows_in(tile); ++m) {
        const float* from = stripe.row(tile, m);
        float total = 0.0f;
        for (std::size_t i = at; i < end; ++i) total += from[i];
        *to++ = total;
      }
      at = end;
    }
  }
}

// The scale of a whole row where it has one; 0 where each segment has its own.
float row_scale(const KernelTable& table, const InputForm& form, const float* row, std::size_t k,
                std::int8_t* codes) {
  float sum = 0.0f;
  if (form.kind == InputKind::int8_static) return form.scale;
  if (form.kind == InputKind::int8_token) return table.round_int8(row, k, 0.0f, codes, &sum);
  return 0.0f;
}

// The codes of a row of a tile to their places, [run][row].
void place_runs(const Stripe& stripe, const InputKey& key, std::size_t tile, std::size_t m,
                const std::int8_t* codes, StripeInputs& out) {
  const std::size_t step = stripe.rows_in(tile) * key.run;
  const std::size_t bytes = stripe.padded() * key.code_bytes;
  std::int8_t* to = out.codes.data() + stripe.code_place(0, tile, key.code_bytes) + key.run * m;
  if (key.run == 4) {
    for (std::size_t i = 0; i < bytes; i += 4, to += step) std::memcpy(to, codes + i, 4);
  } else {
    for (std::size_t i = 0; i < bytes; i += key.run, to += step) {
      std::memcpy(to, codes + i, key.run);
    }
  }
}

void pack_bfloat16_row(const KernelTable& table, const Stripe& stripe, const InputKey& key,
                       std::size_t tile, std::size_t m, std::int8_t* codes, StripeInputs& out) {
  table.round_bfloat16(stripe.row(tile, m), stripe.inputs, reinterpret_cast<std::uint16_t*>(codes));
  std::memset(codes + 2 * stripe.inputs, 0, 2 * (stripe.padded() - stripe.inputs));
  place_runs(stripe, key, tile, m, codes, out);
}

// Codes of a byte to as many of two, where they lie.
void widen(std::int8_t* codes, std::size_t count) {
  for (std::size_t i = count; i-- > 0;) {
    const std::int16_t wide = codes[i];
    std::memcpy(codes + 2 * i, &wide, sizeof wide);
  }
}

// One row of a tile; its scales and sums to [segment][row].
void pack_int8_row(const KernelTable& table, const Stripe& stripe, const InputKey& key,
                   std::size_t tile, std::size_t m, std::int8_t* codes, StripeInputs& out) {
  const std::size_t k = stripe.inputs;
  const std::size_t rows = stripe.rows_in(tile);
  const std::size_t segments = segments_before(k, key, k);
  const float* from = stripe.row(tile, m);
  const float whole = row_scale(table, key.form, from, k, codes);
  std::size_t place = tile * stripe.tile_rows * segments + m;
  for (std::size_t at = 0; at < k; place += rows) {
    const std::size_t end = next_segment(at, key, k);
    float sum = 0.0f;
    const float scale = table.round_int8(from + at, end - at, whole, codes + at, &sum);
    out.scales[place] = scale;
    out.sums[place] = scale * sum;
    at = end;
  }
  std::memset(codes + k, 0, stripe.padded() - k);
  if (key.code_bytes == 2) widen(codes, stripe.padded());
  place_runs(stripe, key, tile, m, codes, out);
}

void pack_codes(const KernelTable& table, ThreadPool& pool, const Stripe& stripe,
                const InputKey& key, const Rows& scratch, StripeInputs& out) {
  const std::size_t segments = segments_before(stripe.inputs, key, stripe.inputs);
  const std::size_t codes = stripe.rows * stripe.padded() * key.code_bytes;
  out.codes.reserve(codes);
  out.scales.resize(segments * stripe.rows);
  out.sums.resize(segments * stripe.rows);
  pool.run(stripe.tiles(), [&](std::size_t tile, int thread) {
    std::int8_t* row = scratch[static_cast<std::size_t>(thread)].data();
    for (std::size_t m = 0; m < stripe.rows_in(tile); ++m) {
      if (key.form.is_int8()) {
        pack_int8_row(table, stripe, key, tile, m, row, out);
      } else {
        pack_bfloat16_row(table, stripe, key, tile, m, row, out);
      }
    }
  });
}

}  // namespace

// The first of TallTiles::runs of which every segment of the weight's codes is a whole number; 0
// where none is.
std::size_t tall_run(const TallTiles& tall, const PackedLinear& weight, std::size_t code_bytes) {
  for (const std::size_t run : tall.runs) {
    const bool whole = weight.inputs() * code_bytes % run == 0;
    if (whole && weight.group() * code_bytes % run == 0) return run;
  }
  return 0;
}

InputKey input_key(const KernelTable& table, const PackedLinear& weight, std::size_t rows) {
  const bool int8 = weight.inputs_form().is_int8();
  InputKey key = {};
  key.form = weight.inputs_form();
  key.code_bytes = int8 ? 1 : 2;
  if (weight.is_dot()) {
    key.run = 4;
    const bool many = rows >= table.tall.from[weight.format() - kFloatFormats];
    const std::size_t bytes = int8 ? table.tall.int8_bytes : 2;
    if (const std::size_t run = many ? tall_run(table.tall, weight, bytes) : 0) {
      key.run = run;
      key.code_bytes = bytes;
      key.tall = true;
    }
  }
  key.sums = !weight.is_dot() && weight.has_offsets();
  // A row of one scale is cut all the same: where a group ends, sums are scaled.
  const bool grouped = weight.group() < weight.inputs() && (weight.is_dot() || key.sums);
  key.group = grouped ? weight.group() : 0;
  return key;
}

std::size_t segments_before(std::size_t k, const InputKey& key, std::size_t inputs) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < k; at = next_segment(at, key, inputs)) ++count;
  return count;
}

std::size_t row_bytes(const InputKey& key, std::size_t inputs) {
  if (key.is_codes()) return (inputs + 7) / 8 * 8 * key.code_bytes;
  return is_exact(key.form) ? 0 : inputs * (sizeof(float) + sizeof(std::uint16_t));
}

void pack_inputs(const KernelTable& table, ThreadPool& pool, const Stripe& stripe,
                 const InputKey& key, const Rows& rows, StripeInputs& out) {
  if (key.is_codes()) return pack_codes(table, pool, stripe, key, rows, out);
  pack_floats(table, pool, stripe, key, rows, out);
  if (key.sums) sum_segments(stripe, key, out.sums);
}

}  // namespace llm_kernels
