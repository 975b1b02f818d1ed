// A whole decoder step: token ids in, logits out, no Python and no GIL in between.
//
// The decoder is assembled from a description (DecoderConfig), which mirrors the axes of
// llm_kernels.families.FamilySpec, and from weights that are packed as they arrive. It owns the
// paged key/value cache; which block belongs to which sequence is the caller's knowledge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "llm_kernels/adapters.h"
#include "llm_kernels/buffer.h"
#include "llm_kernels/isa.h"
#include "llm_kernels/layer_caches.h"
#include "llm_kernels/linear.h"
#include "llm_kernels/paged_attention.h"
#include "llm_kernels/rope.h"
#include "llm_kernels/thread_pool.h"

namespace llm_kernels {

struct DecoderConfig {
  std::size_t hidden = 0;
  std::size_t embed_dim = 0;
  std::size_t layers = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;   // of q and k
  std::size_t value_dim = 0;  // of v
  std::size_t vocab = 0;

  bool layer_norm = false;
  bool post_norm = false;
  bool out_norms = false;  // a block's answer is normed before it is added
  bool parallel = false;   // attention and MLP read the same residual
  bool residual_normed = false;
  float residual_scale = 1.0f;
  float embedding_scale = 1.0f;
  float eps = 1e-5f;

  RopePairing rope_pairing = RopePairing::half;
  std::size_t rope_channels = 1;
  float rope_magnitude = 1.0f;           // multiplies cos and sin
  std::vector<float> inverse_frequency;  // [pairs]; empty: no rotary embedding
  std::size_t rope_first = 0;            // first dimension of a head that rotates
  // Frequencies that follow the length of a sequence. Beyond stage_lengths[i] tokens (rising) they
  // are row i of stage_frequencies [stages, pairs]; beyond dynamic_length (0: never) rope_theta
  // grows with dynamic_factor times the length.
  std::vector<std::size_t> stage_lengths;
  std::vector<float> stage_frequencies;
  std::size_t dynamic_length = 0;
  double dynamic_factor = 1.0;
  double rope_theta = 10000.0;
  std::size_t logn_length = 0;       // not 0: queries beyond it are scaled by log of the position
  std::vector<float> alibi_slopes;   // [heads]; empty: none
  float alibi_rounded_scale = 0.0f;  // see PagedAttention::rounded_scale
  float score_scale = 1.0f;
  float score_cap = 0.0f;           // 0: none
  float logit_cap = 0.0f;           // 0: none
  std::size_t position_offset = 0;  // of the learned table's rows

  // Latent attention: widths of the narrow vectors. kv_rank 0: none; q_rank 0: q is no such vector.
  std::size_t q_rank = 0;
  std::size_t kv_rank = 0;
  float latent_eps = 1e-6f;

  Activation activation = kSilu;
  std::size_t experts = 0;  // of a layer that has any
  std::size_t experts_per_token = 0;
  bool renormalize = false;
  bool sigmoid_scores = false;    // of the router; otherwise softmax
  std::size_t expert_groups = 1;  // of which open_groups can be chosen from
  std::size_t open_groups = 1;
  std::size_t group_best = 1;  // experts that a group's worth is the sum of
  float routed_scale = 1.0f;   // of the chosen experts' weights

  std::vector<std::int64_t> windows;  // [layers]; 0: every key

  std::size_t num_blocks = 0;
  std::size_t block_size = 64;
  CacheLayout cache_layout = kCacheFloat32;
  std::vector<float> key_scales;    // [layers, kv_heads] of kCacheInt8: what a code counts
  std::vector<float> value_scales;  // likewise
  std::size_t max_batch_tokens = 0;
};

// One step's input; T rows, R rows of logits.
struct Step {
  const std::int32_t* token_ids;        // [T]
  const std::int32_t* positions;        // [T]
  const std::int32_t* block_positions;  // [T], or null where the model has no second position
  const std::int32_t* logits_rows;      // [R]
  const std::int32_t* rope_length;      // [sequences] what the frequencies follow; null: context
  std::size_t logits_count;
  const std::int32_t* adapters;  // [sequences] numbers of add_adapter, -1 for none; null: none
  SequenceBatch batch;
};

struct NormWeights {
  std::vector<float> weight;  // empty: no such norm
  std::vector<float> bias;
};

// Rows of numbers, float or bfloat16.
struct Table {
  Buffer<float> data;          // null where `bits` holds the rows
  Buffer<std::uint16_t> bits;  // bfloat16
  std::size_t rows = 0;
  std::size_t columns = 0;

  static Table copy(const float* values, std::size_t rows, std::size_t columns);
  // bfloat16 that outlives the table.
  static Table borrow(const std::uint16_t* bits, std::size_t rows, std::size_t columns);

  void copy_row(std::size_t row, float* out) const;
  std::size_t bytes() const {
    return rows * columns * (data ? sizeof(float) : sizeof(std::uint16_t));
  }
};

struct ExpertWeights {
  std::vector<PackedLinear> in;    // gate and up, or up alone
  std::vector<PackedLinear> down;  // one
};

struct LayerWeights {
  NormWeights attn_norm, mlp_norm, q_norm, k_norm;
  NormWeights attn_out_norm, mlp_out_norm;
  std::vector<PackedLinear> qkv;  // q, k, v; of latent attention q alone, or none
  std::vector<PackedLinear> q_down, q_up, kv_down, kv_up;
  NormWeights q_down_norm, kv_down_norm;
  std::vector<PackedLinear> out;  // one
  ExpertWeights mlp;              // empty in a layer of experts
  std::vector<PackedLinear> router, shared_router;
  std::vector<float> router_correction;  // [experts]; empty: none
  std::vector<ExpertWeights> experts;
  ExpertWeights shared;
};

class Decoder {
 public:
  Decoder(DecoderConfig config, Isa isa, int threads);

  // Weights, by the slot names of llm_kernels.families.SLOTS; layer and expert are -1 outside of
  // one. Linears of one input must arrive in the order in which they are computed: q, k, v; gate,
  // up. std::invalid_argument for an unknown slot, layer or expert, and for a weight after seal().
  void add_linear(const std::string& slot, int layer, int expert, PackedLinear weight);
  void add_norm(const std::string& slot, int layer, NormWeights norm);
  void add_table(const std::string& slot, Table table);
  void add_vector(const std::string& slot, int layer, std::vector<float> values);

  // To be called after the last weight: std::invalid_argument, naming the first, for weights that
  // are missing, too many, or of a shape that a step could not compute with. No step before it.
  void seal();

  // Checks the input (std::invalid_argument names what is out of range), then writes
  // logits [logits_count, vocab].
  void step(const Step& step, float* logits);

  // Between steps. copy_blocks copies keys and values of all layers, from the first to the second
  // block of each pair, pair after pair. write_cache writes those of `tokens` tokens of one layer,
  // [tokens, kv_heads, head_dim] and [tokens, kv_heads, value_dim], to `slots` [tokens]:
  // block * block_size + place in it.
  // std::invalid_argument, and nothing changed, for a block, slot or layer that is not there.
  void copy_blocks(const std::int32_t* pairs, std::size_t count);
  void write_cache(std::size_t layer, const std::int32_t* slots, std::size_t tokens,
                   const float* keys, const float* values);

  // Adapter `number` beside the linear `slot` of a layer (q, k, v, out, gate, up, down), see
  // Adapters; after seal(), between steps. std::invalid_argument for a linear that is not there and
  // for a number below 0.
  void add_adapter(const std::string& slot, int layer, std::int32_t number, const float* a,
                   const float* b, std::size_t rank);
  const PackedLinear& adaptable(const std::string& slot, int layer) const;

  const DecoderConfig& config() const { return config_; }
  const KernelTable& table() const { return table_; }
  ThreadPool& pool() { return pool_; }
  Isa isa() const { return isa_; }
  std::size_t weight_bytes() const { return weight_bytes_; }
  std::size_t cache_bytes() const { return caches_.bytes(); }

 private:
  struct State;  // what one step computes with

  void refuse_if_sealed() const;
  bool is_small(const Step& step) const;
  LayerWeights& layer_weights(const std::string& slot, int layer, const char* kind);
  std::vector<PackedLinear>& linear_slot(const std::string& slot, int layer, int expert);
  NormWeights& norm_slot(const std::string& slot, int layer);
  Table& table_slot(const std::string& slot);

  void check(const Step& step) const;
  void check_rotation(const Step& step) const;
  void check_adapters(const Step& step) const;
  void start(const Step& step, State& state);
  void embed(const Step& step, float* x);
  void rotation(const Step& step, State& state) const;
  void norm(const NormWeights& weights, const float* x, std::size_t rows, float* y);
  const float* enter_block(const NormWeights& weights, State& state);
  void leave_block(const NormWeights& weights, const NormWeights& out, State& state);
  void feed_forward(const LayerWeights& weights, const float* x, State& state);
  void both_at_once(std::size_t layer, State& state);
  void attention(std::size_t layer, const float* x, State& state);
  void project_heads(const LayerWeights& weights, const float* x, State& state);
  void latent_heads(const LayerWeights& weights, const float* x, std::size_t stride, State& state);
  const float* narrowed(const NormWeights& norm, const float* down, std::size_t rows,
                        std::size_t width, std::size_t rank);
  void heads_to_cache(std::size_t layer, State& state);
  void expert(const ExpertWeights& weights, const float* x, std::size_t rows, float* y,
              bool accumulate);
  void expert_rows(const ExpertWeights& weights, const float* x, std::size_t rows, float* y,
                   bool accumulate);
  void mixture(const LayerWeights& weights, const float* x, State& state);
  void shared_expert(const LayerWeights& weights, const float* x, State& state);
  void logits(const Step& step, const State& state, float* out);
  void cap_logits(std::size_t rows, float* out);

  DecoderConfig config_;
  Isa isa_;
  const KernelTable& table_;
  ThreadPool pool_;
  std::size_t weight_bytes_ = 0;
  std::size_t linear_weights_ = 0;  // numbers of all linears together
  bool sealed_ = false;

  Table embed_, positions_, block_positions_;
  NormWeights embed_norm_, final_norm_;
  std::vector<PackedLinear> project_in_, project_out_, head_;
  std::vector<LayerWeights> layers_;
  Adapters adapters_;

  LayerCaches caches_;

  // Kept between steps so that a step allocates little; they grow to the largest step seen.
  LinearScratch linear_scratch_;
  AttentionScratch attention_scratch_;
  std::vector<float> x_, normed_, other_, answer_, qkv_, mixed_, inner_, gathered_, expert_out_,
      latent_;
  std::mutex one_step_;
};

}  // namespace llm_kernels
