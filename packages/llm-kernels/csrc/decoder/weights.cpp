// Where each weight of a decoder goes, by the name of its slot.
#include <cstring>
#include <stdexcept>

#include "bfloat16.h"
#include "llm_kernels/decoder.h"

namespace llm_kernels {
namespace {

[[noreturn]] void unknown_slot(const std::string& slot, const char* kind) {
  throw std::invalid_argument("The native decoder has no " + std::string(kind) + " slot '" + slot +
                              "'.");
}

void check_below(const char* name, int index, std::size_t count) {
  if (static_cast<std::size_t>(index) < count) return;
  throw std::invalid_argument("There is no " + std::string(name) + " " + std::to_string(index) +
                              "; the model has " + std::to_string(count) + ".");
}

}  // namespace

LayerWeights& Decoder::layer_weights(const std::string& slot, int layer, const char* kind) {
  if (layer < 0) unknown_slot(slot, kind);
  check_below("layer", layer, layers_.size());
  return layers_[static_cast<std::size_t>(layer)];
}

std::vector<PackedLinear>& Decoder::linear_slot(const std::string& slot, int layer, int expert) {
  if (slot == "head") return head_;
  if (slot == "project_in") return project_in_;
  if (slot == "project_out") return project_out_;
  LayerWeights& weights = layer_weights(slot, layer, "linear");
  if (slot == "q" || slot == "k" || slot == "v") return weights.qkv;
  if (slot == "q_down") return weights.q_down;
  if (slot == "q_up") return weights.q_up;
  if (slot == "kv_down") return weights.kv_down;
  if (slot == "kv_up") return weights.kv_up;
  if (slot == "out") return weights.out;
  if (slot == "gate" || slot == "up") return weights.mlp.in;
  if (slot == "down") return weights.mlp.down;
  if (slot == "router") return weights.router;
  if (slot == "shared_router") return weights.shared_router;
  if (slot == "shared_gate" || slot == "shared_up") return weights.shared.in;
  if (slot == "shared_down") return weights.shared.down;
  const bool in = slot == "expert_gate" || slot == "expert_up";
  if (expert < 0 || (!in && slot != "expert_down")) unknown_slot(slot, "linear");
  check_below("expert", expert, config_.experts);
  const auto index = static_cast<std::size_t>(expert);
  if (weights.experts.size() <= index) weights.experts.resize(index + 1);
  return in ? weights.experts[index].in : weights.experts[index].down;
}

NormWeights& Decoder::norm_slot(const std::string& slot, int layer) {
  if (slot == "embed_norm") return embed_norm_;
  if (slot == "final_norm") return final_norm_;
  LayerWeights& weights = layer_weights(slot, layer, "norm");
  if (slot == "attn_norm") return weights.attn_norm;
  if (slot == "mlp_norm") return weights.mlp_norm;
  if (slot == "attn_out_norm") return weights.attn_out_norm;
  if (slot == "mlp_out_norm") return weights.mlp_out_norm;
  if (slot == "q_norm") return weights.q_norm;
  if (slot == "k_norm") return weights.k_norm;
  if (slot == "q_down_norm") return weights.q_down_norm;
  if (slot == "kv_down_norm") return weights.kv_down_norm;
  unknown_slot(slot, "norm");
}

Table& Decoder::table_slot(const std::string& slot) {
  if (slot == "embed") return embed_;
  if (slot == "positions") return positions_;
  if (slot == "block_positions") return block_positions_;
  unknown_slot(slot, "table");
}

void Decoder::refuse_if_sealed() const {
  if (sealed_) throw std::invalid_argument("The decoder is sealed; it takes no more weights.");
}

void Decoder::add_linear(const std::string& slot, int layer, int expert, PackedLinear weight) {
  refuse_if_sealed();
  std::vector<PackedLinear>& target = linear_slot(slot, layer, expert);
  linear_weights_ += weight.rows() * weight.inputs();
  weight_bytes_ += weight.bytes();
  target.push_back(std::move(weight));
}

void Decoder::add_norm(const std::string& slot, int layer, NormWeights norm) {
  refuse_if_sealed();
  NormWeights& target = norm_slot(slot, layer);
  weight_bytes_ += (norm.weight.size() + norm.bias.size()) * sizeof(float);
  target = std::move(norm);
}

Table Table::copy(const float* values, std::size_t rows, std::size_t columns) {
  Table table;
  table.data = make_buffer<float>(rows * columns);
  std::copy(values, values + rows * columns, table.data.get());
  table.rows = rows;
  table.columns = columns;
  return table;
}

Table Table::borrow(const std::uint16_t* bits, std::size_t rows, std::size_t columns) {
  Table table;
  table.bits = borrow_buffer(bits, rows * columns);
  table.rows = rows;
  table.columns = columns;
  return table;
}

void Table::copy_row(std::size_t row, float* out) const {
  if (data) {
    std::memcpy(out, data.get() + row * columns, columns * sizeof(float));
    return;
  }
  const std::uint16_t* from = bits.get() + row * columns;
  for (std::size_t i = 0; i < columns; ++i) out[i] = float_of_bfloat16(from[i]);
}

void Decoder::add_table(const std::string& slot, Table table) {
  refuse_if_sealed();
  Table& target = table_slot(slot);
  weight_bytes_ += table.bytes();
  target = std::move(table);
}

void Decoder::add_vector(const std::string& slot, int layer, std::vector<float> values) {
  refuse_if_sealed();
  if (slot != "router_correction") unknown_slot(slot, "vector");
  LayerWeights& weights = layer_weights(slot, layer, "vector");
  weight_bytes_ += values.size() * sizeof(float);
  weights.router_correction = std::move(values);
}

}  // namespace llm_kernels
