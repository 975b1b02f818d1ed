// The angles of a step's rows, with frequencies that may follow the length of a sequence.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "decoder/state.h"

namespace llm_kernels {
namespace {

// The stages that a sequence of `length` tokens has passed.
std::size_t stages_passed(const DecoderConfig& config, std::size_t length) {
  const auto& limits = config.stage_lengths;
  return static_cast<std::size_t>(std::lower_bound(limits.begin(), limits.end(), length) -
                                  limits.begin());
}

bool is_grown(const DecoderConfig& config, std::size_t length) {
  return config.dynamic_length > 0 && length > config.dynamic_length;
}

// Theta grown with the length, as dynamic NTK scaling has it.
std::vector<float> grown_frequencies(const DecoderConfig& config, std::size_t length) {
  const std::size_t pairs = config.inverse_frequency.size();
  const double share = static_cast<double>(length) / static_cast<double>(config.dynamic_length);
  const double growth = config.dynamic_factor * share - (config.dynamic_factor - 1.0);
  const double dim = 2.0 * static_cast<double>(pairs);
  const double exponent = pairs > 1 ? dim / (dim - 2.0) : 1.0;
  const double theta = config.rope_theta * std::pow(growth, exponent);
  std::vector<float> frequencies(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    frequencies[i] = static_cast<float>(std::pow(theta, -2.0 * static_cast<double>(i) / dim));
  }
  return frequencies;
}

// The length by which the frequencies of sequence `s` are chosen.
std::size_t rope_length(const Step& step, std::size_t s) {
  const std::int32_t* lengths = step.rope_length ? step.rope_length : step.batch.context_length;
  return static_cast<std::size_t>(lengths[s]);
}

class Angles {
 public:
  Angles(const DecoderConfig& config, std::size_t rows, std::vector<float>& cos,
         std::vector<float>& sin)
      : config_(config), rows_(rows), cos_(cos), sin_(sin) {
    cos.resize(config.rope_channels * rows * config.inverse_frequency.size());
    sin.resize(cos.size());
  }

  void add(std::size_t channel, std::size_t row, std::int32_t position, const float* frequency) {
    const std::size_t pairs = config_.inverse_frequency.size();
    const std::size_t at = (channel * rows_ + row) * pairs;
    const double magnitude = config_.rope_magnitude;
    for (std::size_t i = 0; i < pairs; ++i) {
      // Rounded to float as the models' own code does; at far positions that is visible.
      const float angle = static_cast<float>(position) * frequency[i];
      cos_[at + i] = static_cast<float>(std::cos(double{angle}) * magnitude);
      sin_[at + i] = static_cast<float>(std::sin(double{angle}) * magnitude);
    }
  }

 private:
  const DecoderConfig& config_;
  const std::size_t rows_;
  std::vector<float>& cos_;
  std::vector<float>& sin_;
};

}  // namespace

void Decoder::rotation(const Step& step, State& state) const {
  if (config_.logn_length > 0) {
    const auto trained = static_cast<double>(config_.logn_length);
    state.query_scale.resize(state.rows);
    for (std::size_t row = 0; row < state.rows; ++row) {
      const double count = std::max(static_cast<double>(step.positions[row]) + 1.0, trained);
      state.query_scale[row] = static_cast<float>(std::log(count) / std::log(trained));
    }
  }
  const std::size_t pairs = config_.inverse_frequency.size();
  if (pairs == 0) return;
  Angles angles(config_, state.rows, state.cos, state.sin);
  for (std::size_t s = 0; s < step.batch.sequences; ++s) {
    const std::size_t length = rope_length(step, s);
    const std::size_t stage = stages_passed(config_, length);
    const float* frequency = config_.inverse_frequency.data();
    if (stage > 0) frequency = config_.stage_frequencies.data() + (stage - 1) * pairs;
    std::vector<float> grown;
    if (is_grown(config_, length)) {
      grown = grown_frequencies(config_, length);
      frequency = grown.data();
    }
    const auto begin = static_cast<std::size_t>(step.batch.query_start[s]);
    const auto end = static_cast<std::size_t>(step.batch.query_start[s + 1]);
    for (std::size_t channel = 0; channel < config_.rope_channels; ++channel) {
      const std::int32_t* positions = channel == 0 ? step.positions : step.block_positions;
      for (std::size_t row = begin; row < end; ++row) {
        angles.add(channel, row, positions[row], frequency);
      }
    }
  }
}

void Decoder::check_rotation(const Step& step) const {
  for (std::size_t s = 0; s < step.batch.sequences; ++s) {
    const auto rows = static_cast<std::size_t>(step.batch.query_start[s + 1] -
                                               std::int64_t{step.batch.query_start[s]});
    const auto length = static_cast<std::size_t>(step.batch.context_length[s]);
    if (step.rope_length) {
      if (step.rope_length[s] >= 1) continue;
      throw std::invalid_argument("rope_length of sequence " + std::to_string(s) + " is " +
                                  std::to_string(step.rope_length[s]) + "; it must be at least 1.");
    }
    const std::size_t held = length - rows;
    const bool turns = stages_passed(config_, held) != stages_passed(config_, length);
    if (held == 0 || (!turns && !is_grown(config_, length))) continue;
    throw std::invalid_argument(
        "context_length of sequence " + std::to_string(s) + " grows from " + std::to_string(held) +
        " to " + std::to_string(length) +
        "; from some length on this model's rotary frequencies follow it, so that keys in the "
        "cache no longer hold. Pass rope_length, the same in every step of a sequence, or all "
        "tokens again in one step.");
  }
}

}  // namespace llm_kernels
