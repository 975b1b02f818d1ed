// Adapters of a decoder: which linear a slot's name stands for, and what a step is told.
#include <stdexcept>
#include <string>

#include "llm_kernels/decoder.h"
#include "llm_kernels/fork_guard.h"

namespace llm_kernels {

const PackedLinear& Decoder::adaptable(const std::string& slot, int layer) const {
  if (!sealed_)
    throw std::invalid_argument("Adapters are added after the last weight: seal first.");
  if (layer < 0 || static_cast<std::size_t>(layer) >= layers_.size()) {
    throw std::invalid_argument("There is no layer " + std::to_string(layer) + "; the model has " +
                                std::to_string(layers_.size()) + ".");
  }
  const LayerWeights& weights = layers_[static_cast<std::size_t>(layer)];
  const bool dense = weights.experts.empty(), plain = config_.kv_rank == 0;
  if (plain && slot == "q") return weights.qkv[0];
  if (plain && slot == "k") return weights.qkv[1];
  if (plain && slot == "v") return weights.qkv[2];
  if (slot == "out") return weights.out.front();
  if (dense && slot == "gate" && weights.mlp.in.size() == 2) return weights.mlp.in.front();
  if (dense && slot == "up") return weights.mlp.in.back();
  if (dense && slot == "down") return weights.mlp.down.front();
  throw std::invalid_argument("Layer " + std::to_string(layer) + " has no linear " + slot +
                              " that an adapter may stand beside; merge the adapter instead.");
}

void Decoder::add_adapter(const std::string& slot, int layer, std::int32_t number, const float* a,
                          const float* b, std::size_t rank) {
  if (number < 0) {
    throw std::invalid_argument("An adapter's number is " + std::to_string(number) +
                                "; it must be 0 or more.");
  }
  const ForkGuard no_fork;
  std::lock_guard<std::mutex> lock(one_step_);
  adapters_.add(&adaptable(slot, layer), number, a, b, rank);
}

}  // namespace llm_kernels
