#include "decoder/routing.h"

#include <algorithm>
#include <cmath>

namespace llm_kernels {
namespace {

constexpr std::size_t kRowsPerTask = 16;

void softmax(float* score, std::size_t count) {
  const float highest = *std::max_element(score, score + count);
  float total = 0.0f;
  for (std::size_t e = 0; e < count; ++e) total += score[e] = std::exp(score[e] - highest);
  for (std::size_t e = 0; e < count; ++e) score[e] /= total;
}

void sigmoid(float* score, std::size_t count) {
  for (std::size_t e = 0; e < count; ++e) score[e] = 1.0f / (1.0f + std::exp(-score[e]));
}

bool is_above(float a, float b) { return a > b || (std::isnan(b) && !std::isnan(a)); }

// The indices of the `wanted` largest of `values`, the largest first; of equals the lower index
// first, and what is no number last.
void find_best(const float* values, std::size_t count, std::size_t wanted, std::size_t* best) {
  std::size_t held = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (held == wanted && !is_above(values[i], values[best[held - 1]])) continue;
    std::size_t at = held < wanted ? held++ : held - 1;
    for (; at > 0 && is_above(values[i], values[best[at - 1]]); --at) best[at] = best[at - 1];
    best[at] = i;
  }
}

// The choice of one row after the other. Everything is allocated with it: tasks may not throw.
class Chooser {
 public:
  Chooser(const DecoderConfig& config, std::size_t experts, const std::vector<float>& correction)
      : config_(config),
        correction_(correction),
        choice_(experts),
        worth_(config.expert_groups),
        best_(experts) {}

  // experts_per_token choices of the row with these scores.
  void choose(float* share, std::size_t* experts, float* weights) {
    const std::size_t count = choice_.size(), chosen = config_.experts_per_token;
    (config_.sigmoid_scores ? sigmoid : softmax)(share, count);
    std::copy(share, share + count, choice_.begin());
    for (std::size_t e = 0; e < correction_.size(); ++e) choice_[e] += correction_[e];
    if (config_.expert_groups > 1) close_groups();
    find_best(choice_.data(), count, chosen, experts);
    float total = 1.0f;
    if (config_.renormalize) {
      total = 0.0f;
      for (std::size_t i = 0; i < chosen; ++i) total += share[experts[i]];
    }
    for (std::size_t i = 0; i < chosen; ++i) {
      weights[i] = share[experts[i]] / total * config_.routed_scale;
    }
  }

 private:
  // Experts outside of the best groups count 0; a group is as good as its best experts together.
  void close_groups() {
    const std::size_t size = choice_.size() / worth_.size();
    const std::size_t members = std::min(config_.group_best, size);
    for (std::size_t group = 0; group < worth_.size(); ++group) {
      const float* values = choice_.data() + group * size;
      find_best(values, size, members, best_.data());
      worth_[group] = 0.0f;
      for (std::size_t i = 0; i < members; ++i) worth_[group] += values[best_[i]];
    }
    find_best(worth_.data(), worth_.size(), worth_.size(), best_.data());
    for (std::size_t i = config_.open_groups; i < worth_.size(); ++i) {
      std::fill_n(choice_.data() + best_[i] * size, size, 0.0f);
    }
  }

  const DecoderConfig& config_;
  const std::vector<float>& correction_;
  std::vector<float> choice_;
  std::vector<float> worth_;
  std::vector<std::size_t> best_;
};

// `chosen` and `weights` [rows, each] by row, to those of each expert.
Routing by_expert(const std::vector<std::size_t>& chosen, const std::vector<float>& weights,
                  std::size_t each, std::size_t experts) {
  Routing routing;
  routing.starts.assign(experts + 1, 0);
  for (const std::size_t expert : chosen) ++routing.starts[expert + 1];
  for (std::size_t e = 0; e < experts; ++e) routing.starts[e + 1] += routing.starts[e];
  std::vector<std::size_t> next(routing.starts.begin(), routing.starts.end() - 1);
  routing.choices.resize(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    routing.choices[next[chosen[i]]++] = {i / each, weights[i]};
  }
  return routing;
}

}  // namespace

Routing choose_experts(const DecoderConfig& config, ThreadPool& pool, float* scores,
                       std::size_t rows, std::size_t experts,
                       const std::vector<float>& correction) {
  const std::size_t each = config.experts_per_token;
  std::vector<std::size_t> chosen(rows * each);
  std::vector<float> weights(rows * each);
  std::vector<Chooser> choosers(static_cast<std::size_t>(pool.threads()),
                                Chooser(config, experts, correction));
  pool.run((rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::size_t task, int thread) {
    const std::size_t end = std::min(rows, (task + 1) * kRowsPerTask);
    for (std::size_t row = task * kRowsPerTask; row < end; ++row) {
      choosers[static_cast<std::size_t>(thread)].choose(
          scores + row * experts, chosen.data() + row * each, weights.data() + row * each);
    }
  });
  return by_expert(chosen, weights, each, experts);
}

}  // namespace llm_kernels
