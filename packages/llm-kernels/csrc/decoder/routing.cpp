#include "decoder/routing.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace llm_kernels {
namespace {

void softmax(float* score, std::size_t count) {
  const float highest = *std::max_element(score, score + count);
  float total = 0.0f;
  for (std::size_t e = 0; e < count; ++e) total += score[e] = std::exp(score[e] - highest);
  for (std::size_t e = 0; e < count; ++e) score[e] /= total;
}

void sigmoid(float* score, std::size_t count) {
  for (std::size_t e = 0; e < count; ++e) score[e] = 1.0f / (1.0f + std::exp(-score[e]));
}

// 0 to count, the largest of `values` first; of equals the lower index.
std::vector<std::size_t> sorted(const float* values, std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [values](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  return order;
}

// Experts outside of the best groups count 0; a group is as good as its best experts together.
void close_groups(const DecoderConfig& config, std::vector<float>& choice) {
  const std::size_t size = choice.size() / config.expert_groups;
  std::vector<float> worth(config.expert_groups, 0.0f);
  for (std::size_t group = 0; group < worth.size(); ++group) {
    const auto begin = choice.begin() + static_cast<std::ptrdiff_t>(group * size);
    std::vector<float> members(begin, begin + static_cast<std::ptrdiff_t>(size));
    std::sort(members.begin(), members.end(), std::greater<>());
    for (std::size_t i = 0; i < std::min(config.group_best, size); ++i) worth[group] += members[i];
  }
  const std::vector<std::size_t> order = sorted(worth.data(), worth.size());
  for (std::size_t i = config.open_groups; i < order.size(); ++i) {
    const auto begin = choice.begin() + static_cast<std::ptrdiff_t>(order[i] * size);
    std::fill(begin, begin + static_cast<std::ptrdiff_t>(size), 0.0f);
  }
}

}  // namespace

std::vector<std::vector<Choice>> choose_experts(const DecoderConfig& config, float* scores,
                                                std::size_t rows, std::size_t experts,
                                                const std::vector<float>& correction) {
  std::vector<std::vector<Choice>> chosen(experts);
  for (std::size_t row = 0; row < rows; ++row) {
    float* share = scores + row * experts;
    (config.sigmoid_scores ? sigmoid : softmax)(share, experts);
    std::vector<float> choice(share, share + experts);
    for (std::size_t e = 0; e < correction.size(); ++e) choice[e] += correction[e];
    if (config.expert_groups > 1) close_groups(config, choice);
    const std::vector<std::size_t> order = sorted(choice.data(), experts);
    float total = 1.0f;
    if (config.renormalize) {
      total = 0.0f;
      for (std::size_t i = 0; i < config.experts_per_token; ++i) total += share[order[i]];
    }
    for (std::size_t i = 0; i < config.experts_per_token; ++i) {
      chosen[order[i]].push_back({row, share[order[i]] / total * config.routed_scale});
    }
  }
  return chosen;
}

}  // namespace llm_kernels
