// What a step refuses, each with a sentence, before anything is computed or written.
#include <stdexcept>

#include "llm_kernels/decoder.h"

namespace llm_kernels {
namespace {

void check_range(const char* name, const std::int32_t* values, std::size_t count, std::size_t limit,
                 const char* cause) {
  for (std::size_t i = 0; i < count; ++i) {
    if (values[i] < 0 || static_cast<std::size_t>(values[i]) >= limit) {
      throw std::invalid_argument(std::string(name) + "[" + std::to_string(i) + "] is " +
                                  std::to_string(values[i]) + "; it must be 0 to " +
                                  std::to_string(limit - 1) + ", " + cause + ".");
    }
  }
}

}  // namespace

void Decoder::check_adapters(const Step& step) const {
  for (std::size_t s = 0; step.adapters != nullptr && s < step.batch.sequences; ++s) {
    if (step.adapters[s] != -1 && !adapters_.has(step.adapters[s])) {
      throw std::invalid_argument("adapters[" + std::to_string(s) + "] is " +
                                  std::to_string(step.adapters[s]) +
                                  ", which was never added; it must be the number of an adapter "
                                  "that was, or -1 for none.");
    }
  }
}

void Decoder::check(const Step& step) const {
  if (!sealed_) throw std::invalid_argument("The decoder is not whole: seal it before a step.");
  check_batch(step.batch, caches_.shape());
  check_rotation(step);
  check_adapters(step);
  const std::size_t rows = step.batch.rows();
  if (rows == 0 || rows > config_.max_batch_tokens) {
    throw std::invalid_argument(
        "A step of " + std::to_string(rows) + " tokens was asked for; this decoder takes 1 to " +
        std::to_string(config_.max_batch_tokens) + ", its max_batch_tokens.");
  }
  check_range("token_ids", step.token_ids, rows, config_.vocab, "the size of the vocabulary");
  check_range("logits_rows", step.logits_rows, step.logits_count, rows, "the rows of this step");
  constexpr std::size_t kAnyPosition = std::size_t{1} << 31;
  const std::size_t positions =
      positions_.rows > 0 ? positions_.rows - config_.position_offset : kAnyPosition;
  check_range("positions", step.positions, rows, positions, "the model's table of positions");
  const bool two = block_positions_.rows > 0 || config_.rope_channels == 2;
  if (two != (step.block_positions != nullptr)) {
    throw std::invalid_argument(
        two ? "This model has a second position of every token: pass block_positions."
            : "This model has one position a token: leave block_positions out.");
  }
  if (two) {
    const std::size_t limit = block_positions_.rows > 0 ? block_positions_.rows : kAnyPosition;
    check_range("block_positions", step.block_positions, rows, limit,
                "the model's table of block positions");
  }
}

}  // namespace llm_kernels
