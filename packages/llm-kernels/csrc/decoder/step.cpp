// The frame of a step: embedding, the residual stream around each block, logits.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "decoder/numbers.h"
#include "decoder/state.h"
#include "llm_kernels/fork_guard.h"
#include "llm_kernels/layer_norm.h"
#include "llm_kernels/rms_norm.h"

namespace llm_kernels {
namespace {

constexpr std::size_t kLogitsPerTask = 4096;

// Multiply-adds of a step that the calling thread does alone: some hundred microseconds of work, of
// which waking others and waiting for them takes a part, and a multiple of it on busy cores.
constexpr std::size_t kSmallStep = std::size_t{1} << 22;

// Checked first, as the parts of a decoder are made from it.
DecoderConfig checked(DecoderConfig config) {
  check_numbers(config);
  return config;
}

CacheShape cache_shape(const DecoderConfig& config) {
  return {config.num_blocks, config.kv_heads,   config.head_dim,
          config.value_dim,  config.block_size, config.cache_layout};
}

}  // namespace

Decoder::Decoder(DecoderConfig config, Isa isa, int threads)
    : config_(checked(std::move(config))),
      isa_(isa),
      table_(kernel_table(isa)),
      pool_(threads),
      layers_(config_.layers),
      caches_(cache_shape(config_), config_.layers, config_.key_scales, config_.value_scales) {}

void Decoder::norm(const NormWeights& weights, const float* x, std::size_t rows, float* y) {
  const std::size_t n = weights.weight.size();
  if (config_.layer_norm) {
    const float* bias = weights.bias.empty() ? nullptr : weights.bias.data();
    layer_norm(table_, pool_, x, weights.weight.data(), bias, config_.eps, rows, n, y);
  } else {
    rms_norm(table_, pool_, x, weights.weight.data(), config_.eps, rows, n, y);
  }
}

void Decoder::embed(const Step& step, float* x) {
  const std::size_t rows = step.batch.rows();
  const std::size_t width = config_.embed_dim;
  float* target = project_in_.empty() ? x : grown(gathered_, rows * width);
  pool_.run(rows, [&](std::size_t row, int) {
    const auto id = static_cast<std::size_t>(step.token_ids[row]);
    if (embed_.rows > 0) {
      embed_.copy_row(id, target + row * width);
    } else {  // a tied head is the embedding too
      head_.front().copy_row(id, target + row * width);
    }
    const float scale = config_.embedding_scale;
    for (std::size_t i = row * width; scale != 1.0f && i < (row + 1) * width; ++i) {
      target[i] *= scale;
    }
  });
  if (!project_in_.empty()) {
    linear(table_, pool_, linear_scratch_, target, rows,
           {{&project_in_.front(), x, config_.hidden}});
  }
  const auto add_rows = [&](const Table& table, const std::int32_t* ids, std::size_t offset) {
    for (std::size_t row = 0; table.rows > 0 && row < rows; ++row) {
      const float* from =
          table.data.get() + (static_cast<std::size_t>(ids[row]) + offset) * table.columns;
      table_.add_scaled(from, 1.0f, config_.hidden, x + row * config_.hidden);
    }
  };
  add_rows(positions_, step.positions, config_.position_offset);
  add_rows(block_positions_, step.block_positions, 0);
  if (!embed_norm_.weight.empty()) norm(embed_norm_, x, rows, x);
}

void Decoder::start(const Step& step, State& state) {
  state.batch = step.batch;
  state.rows = step.batch.rows();
  state.x = grown(x_, state.rows * config_.hidden);
  state.residual = state.x;
  embed(step, state.x);
  rotation(step, state);
  state.slots = cache_slots(step.batch, config_.block_size);
  state.plan = plan_attention(table_, step.batch, caches_.shape(), config_.heads, pool_.threads());
  adapters_.place(step.batch, step.adapters);
}

// What the block reads. Afterwards state.x holds the skip path, to which the block adds.
const float* Decoder::enter_block(const NormWeights& weights, State& state) {
  const std::size_t count = state.rows * config_.hidden;
  float* read = grown(normed_, count);
  if (config_.post_norm) {
    std::memcpy(read, state.x, count * sizeof(float));
    return read;
  }
  norm(weights, state.x, state.rows, read);
  if (config_.out_norms) {
    state.x = grown(answer_, count);
    std::fill(state.x, state.x + count, 0.0f);
    return read;
  }
  if (config_.residual_normed) std::memcpy(state.x, read, count * sizeof(float));
  if (config_.residual_scale != 1.0f) {
    for (std::size_t i = 0; i < count; ++i) state.x[i] *= config_.residual_scale;
  }
  return read;
}

void Decoder::leave_block(const NormWeights& weights, const NormWeights& out, State& state) {
  if (config_.post_norm) norm(weights, state.x, state.rows, state.x);
  if (!config_.out_norms) return;
  norm(out, state.x, state.rows, state.x);
  table_.add_scaled(state.x, 1.0f, state.rows * config_.hidden, state.residual);
  state.x = state.residual;
}

void Decoder::feed_forward(const LayerWeights& weights, const float* x, State& state) {
  if (weights.experts.empty()) {
    expert(weights.mlp, x, state.rows, state.x, true);
  } else {
    mixture(weights, x, state);
  }
}

// Attention and MLP over the same residual, behind one norm or a norm each.
void Decoder::both_at_once(std::size_t layer, State& state) {
  const LayerWeights& weights = layers_[layer];
  const float* x = enter_block(weights.attn_norm, state);
  const float* other = x;
  if (!weights.mlp_norm.weight.empty()) {
    float* normed = grown(other_, state.rows * config_.hidden);
    norm(weights.mlp_norm, state.x, state.rows, normed);
    other = normed;
  }
  attention(layer, x, state);
  feed_forward(weights, other, state);
}

void Decoder::logits(const Step& step, const State& state, float* out) {
  const std::size_t rows = step.logits_count;
  const std::size_t hidden = config_.hidden;
  float* last = grown(normed_, state.rows * hidden);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto row = static_cast<std::size_t>(step.logits_rows[i]);
    std::memcpy(last + i * hidden, state.x + row * hidden, hidden * sizeof(float));
  }
  if (!final_norm_.weight.empty()) norm(final_norm_, last, rows, last);
  if (!project_out_.empty()) {
    float* projected = grown(gathered_, rows * config_.embed_dim);
    linear(table_, pool_, linear_scratch_, last, rows,
           {{&project_out_.front(), projected, config_.embed_dim}});
    last = projected;
  }
  linear(table_, pool_, linear_scratch_, last, rows, {{&head_.front(), out, config_.vocab}});
  if (config_.logit_cap != 0.0f) cap_logits(rows, out);
}

void Decoder::cap_logits(std::size_t rows, float* out) {
  const float cap = config_.logit_cap;
  const std::size_t count = rows * config_.vocab;
  pool_.run((count + kLogitsPerTask - 1) / kLogitsPerTask, [&](std::size_t task, int) {
    const std::size_t end = std::min(count, (task + 1) * kLogitsPerTask);
    for (std::size_t i = task * kLogitsPerTask; i < end; ++i)
      out[i] = cap * std::tanh(out[i] / cap);
  });
}

bool Decoder::is_small(const Step& step) const {
  const std::size_t rows = step.batch.rows();
  std::size_t work = rows * linear_weights_;
  for (std::size_t s = 0; s < step.batch.sequences; ++s) {
    const auto queries = static_cast<std::size_t>(step.batch.query_start[s + 1] -
                                                  std::int64_t{step.batch.query_start[s]});
    const auto keys = static_cast<std::size_t>(step.batch.context_length[s]);
    const std::size_t each = config_.head_dim + config_.value_dim;
    work += queries * keys * config_.layers * config_.heads * each;
  }
  return work < kSmallStep;
}

void Decoder::step(const Step& step, float* out) {
  const ForkGuard no_fork;  // a child would find the lock held and the scratch half grown
  std::lock_guard<std::mutex> lock(one_step_);
  check(step);
  pool_.set_alone(is_small(step));
  State state = {};
  start(step, state);
  for (std::size_t layer = 0; layer < config_.layers; ++layer) {
    if (config_.parallel) {
      both_at_once(layer, state);
      continue;
    }
    const LayerWeights& weights = layers_[layer];
    attention(layer, enter_block(weights.attn_norm, state), state);
    leave_block(weights.attn_norm, weights.attn_out_norm, state);
    feed_forward(weights, enter_block(weights.mlp_norm, state), state);
    leave_block(weights.mlp_norm, weights.mlp_out_norm, state);
  }
  if (step.logits_count > 0) logits(step, state, out);
}

}  // namespace llm_kernels
