// Whether the weights that arrived are all that a step reads, each in the shape it reads.
#include <stdexcept>

#include "llm_kernels/decoder.h"

namespace llm_kernels {
namespace {

using Linears = std::vector<PackedLinear>;

// Checks of one layer's weights, or of those outside of layers.
class Inspector {
 public:
  Inspector(const DecoderConfig& config, std::string where)
      : config_(config), where_(std::move(where)) {}

  [[noreturn]] void refuse(const std::string& what) const {
    throw std::invalid_argument("The decoder is not whole: " + where_ + what + ".");
  }

  void linear(const char* slot, const PackedLinear& weight, std::size_t rows,
              std::size_t inputs) const {
    if (weight.rows() == rows && weight.inputs() == inputs) return;
    refuse(std::string(slot) + " is [" + std::to_string(weight.rows()) + ", " +
           std::to_string(weight.inputs()) + "], where [" + std::to_string(rows) + ", " +
           std::to_string(inputs) + "] is needed");
  }

  void count(const char* slot, const Linears& weights, std::size_t wanted) const {
    if (weights.size() == wanted) return;
    refuse(std::string(slot) + " came " + std::to_string(weights.size()) + " times instead of " +
           std::to_string(wanted));
  }

  void one(const char* slot, const Linears& weights, std::size_t rows, std::size_t inputs) const {
    count(slot, weights, 1);
    linear(slot, weights.front(), rows, inputs);
  }

  void norm(const char* slot, const NormWeights& norm, std::size_t size, bool needed = true) const {
    if (norm.weight.size() == size || (!needed && norm.weight.empty())) return;
    refuse(std::string(slot) + " has " + std::to_string(norm.weight.size()) +
           " numbers instead of " + std::to_string(size));
  }

  void expert(const ExpertWeights& weights) const {
    if (weights.in.empty() || weights.in.size() > 2) refuse("an MLP has no gate and up");
    const std::size_t width = weights.in.front().rows();
    for (const PackedLinear& in : weights.in) linear("gate or up", in, width, config_.hidden);
    one("down", weights.down, config_.hidden, width);
  }

  void attention(const LayerWeights& layer) const {
    const std::size_t queries = config_.heads * config_.head_dim;
    const std::size_t keys = config_.kv_heads * config_.head_dim;
    const std::size_t values = config_.kv_heads * config_.value_dim;
    if (config_.kv_rank > 0) {
      latent(layer, queries);
    } else {
      count("q, k and v", layer.qkv, 3);
      linear("q", layer.qkv[0], queries, config_.hidden);
      linear("k", layer.qkv[1], keys, config_.hidden);
      linear("v", layer.qkv[2], values, config_.hidden);
    }
    one("out", layer.out, config_.hidden, config_.heads * config_.value_dim);
  }

  void latent(const LayerWeights& layer, std::size_t queries) const {
    const std::size_t turned = 2 * config_.inverse_frequency.size();
    if (config_.q_rank > 0) {
      one("q_down", layer.q_down, config_.q_rank, config_.hidden);
      norm("q_down_norm", layer.q_down_norm, config_.q_rank);
      one("q_up", layer.q_up, queries, config_.q_rank);
    } else {
      one("q", layer.qkv, queries, config_.hidden);
    }
    one("kv_down", layer.kv_down, config_.kv_rank + turned, config_.hidden);
    norm("kv_down_norm", layer.kv_down_norm, config_.kv_rank);
    const std::size_t each = config_.head_dim - turned + config_.value_dim;
    one("kv_up", layer.kv_up, config_.heads * each, config_.kv_rank);
  }

  void feed_forward(const LayerWeights& layer) const {
    const std::size_t experts = layer.experts.size();
    if (experts == 0) return expert(layer.mlp);
    if (experts != config_.experts) {
      refuse("experts are " + std::to_string(experts) + " instead of " +
             std::to_string(config_.experts));
    }
    if (config_.experts_per_token == 0 || config_.experts_per_token > experts) {
      refuse(std::to_string(config_.experts_per_token) + " of " + std::to_string(experts) +
             " experts a token are asked for");
    }
    one("router", layer.router, experts, config_.hidden);
    if (experts % config_.expert_groups != 0) {
      refuse(std::to_string(experts) + " experts are no multiple of their " +
             std::to_string(config_.expert_groups) + " groups");
    }
    if (!layer.router_correction.empty() && layer.router_correction.size() != experts) {
      refuse("router_correction has " + std::to_string(layer.router_correction.size()) +
             " numbers instead of " + std::to_string(experts));
    }
    for (const ExpertWeights& weights : layer.experts) expert(weights);
    if (layer.shared.in.empty()) return;
    expert(layer.shared);
    if (!layer.shared_router.empty()) one("shared_router", layer.shared_router, 1, config_.hidden);
  }

  void norms(const LayerWeights& layer) const {
    norm("attn_norm", layer.attn_norm, config_.hidden);
    norm("mlp_norm", layer.mlp_norm, config_.hidden, !config_.parallel);
    norm("attn_out_norm", layer.attn_out_norm, config_.hidden, config_.out_norms);
    norm("mlp_out_norm", layer.mlp_out_norm, config_.hidden, config_.out_norms);
    const bool heads = !layer.q_norm.weight.empty() || !layer.k_norm.weight.empty();
    norm("q_norm", layer.q_norm, config_.head_dim, heads);
    norm("k_norm", layer.k_norm, config_.head_dim, heads);
  }

  void table(const char* slot, const Table& table, std::size_t least, std::size_t columns) const {
    if (table.rows == 0 || (table.rows >= least && table.columns == columns)) return;
    refuse(std::string(slot) + " is [" + std::to_string(table.rows) + ", " +
           std::to_string(table.columns) + "], where at least [" + std::to_string(least) + ", " +
           std::to_string(columns) + "] is needed");
  }

 private:
  const DecoderConfig& config_;
  const std::string where_;
};

}  // namespace

void Decoder::seal() {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Inspector layer(config_, "in layer " + std::to_string(i) + " ");
    layer.norms(layers_[i]);
    layer.attention(layers_[i]);
    layer.feed_forward(layers_[i]);
  }
  const Inspector ends(config_, "");
  ends.norm("embed_norm", embed_norm_, config_.hidden, false);
  ends.norm("final_norm", final_norm_, config_.hidden, false);
  ends.one("head", head_, config_.vocab, config_.embed_dim);
  ends.table("embed", embed_, config_.vocab, config_.embed_dim);
  if (embed_.rows == 0 && !head_.front().has_rows()) ends.refuse("embed is missing");
  ends.table("positions", positions_, config_.position_offset + 1, config_.hidden);
  ends.table("block_positions", block_positions_, 1, config_.hidden);
  if (config_.embed_dim != config_.hidden || !project_in_.empty() || !project_out_.empty()) {
    ends.one("project_in", project_in_, config_.hidden, config_.embed_dim);
    ends.one("project_out", project_out_, config_.embed_dim, config_.hidden);
  }
  sealed_ = true;
}

}  // namespace llm_kernels
