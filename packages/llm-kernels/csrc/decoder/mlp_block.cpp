// The feed-forward block: one MLP, or a mixture of experts.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "decoder/routing.h"
#include "decoder/state.h"
#include "llm_kernels/activation.h"

namespace llm_kernels {
namespace {

// Rows whose inner activations, the widest of all, are in memory at once; whole stripes of
// linear().
constexpr std::size_t kStripeRows = 768;

}  // namespace

void Decoder::expert(const ExpertWeights& weights, const float* x, std::size_t rows, float* y,
                     bool accumulate) {
  // Adapters know rows by their place in the whole step.
  const std::size_t stripe = adapters_.placed() ? rows : kStripeRows;
  for (std::size_t first = 0; first < rows; first += stripe) {
    const std::size_t at = first * config_.hidden;
    expert_rows(weights, x + at, std::min(stripe, rows - first), y + at, accumulate);
  }
}

void Decoder::expert_rows(const ExpertWeights& weights, const float* x, std::size_t rows, float* y,
                          bool accumulate) {
  const std::size_t width = weights.in.front().rows();
  float* first = grown(inner_, 2 * rows * width);
  float* second = first + rows * width;
  const bool gated = weights.in.size() == 2;
  std::vector<LinearPart> parts = {{&weights.in[0], first, width}};
  if (gated) parts.push_back({&weights.in[1], second, width});
  linear(table_, pool_, linear_scratch_, x, rows, parts);
  adapters_.apply(table_, pool_, x, parts);
  activation(table_, pool_, config_.activation, first, gated ? second : nullptr, rows, width,
             first);
  parts = {{&weights.down.front(), y, config_.hidden, accumulate}};
  linear(table_, pool_, linear_scratch_, first, rows, parts);
  adapters_.apply(table_, pool_, first, parts);
}

// Experts are visited in their order, so a row's sum does not depend on the rows beside it.
void Decoder::mixture(const LayerWeights& weights, const float* x, State& state) {
  const std::size_t hidden = config_.hidden;
  const std::size_t experts = weights.experts.size();
  float* scores = grown(expert_out_, state.rows * std::max(hidden, experts));
  linear(table_, pool_, linear_scratch_, x, state.rows,
         {{&weights.router.front(), scores, experts}});
  const Routing routing =
      choose_experts(config_, pool_, scores, state.rows, experts, weights.router_correction);
  for (std::size_t e = 0; e < experts; ++e) {
    const Choice* chosen = routing.of(e);
    const std::size_t rows = routing.rows(e);
    if (rows == 0) continue;
    float* gathered = grown(gathered_, rows * hidden);
    for (std::size_t i = 0; i < rows; ++i) {
      std::memcpy(gathered + i * hidden, x + chosen[i].row * hidden, hidden * sizeof(float));
    }
    expert(weights.experts[e], gathered, rows, expert_out_.data(), false);
    for (std::size_t i = 0; i < rows; ++i) {
      table_.add_scaled(expert_out_.data() + i * hidden, chosen[i].weight, hidden,
                        state.x + chosen[i].row * hidden);
    }
  }
  if (!weights.shared.in.empty()) shared_expert(weights, x, state);
}

void Decoder::shared_expert(const LayerWeights& weights, const float* x, State& state) {
  if (weights.shared_router.empty()) return expert(weights.shared, x, state.rows, state.x, true);
  const std::size_t hidden = config_.hidden;
  float* gates = grown(gathered_, state.rows);
  linear(table_, pool_, linear_scratch_, x, state.rows,
         {{&weights.shared_router.front(), gates, 1}});
  expert(weights.shared, x, state.rows, grown(expert_out_, state.rows * hidden), false);
  for (std::size_t row = 0; row < state.rows; ++row) {
    table_.add_scaled(expert_out_.data() + row * hidden, 1.0f / (1.0f + std::exp(-gates[row])),
                      hidden, state.x + row * hidden);
  }
}

}  // namespace llm_kernels
