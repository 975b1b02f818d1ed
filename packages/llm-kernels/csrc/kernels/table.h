// The including unit's table: every kernel of csrc/kernels compiled for its instruction set.
#pragma once

#include "kernels/adapter.h"
#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/linear_bfloat16.h"
#include "kernels/linear_dot.h"
#include "kernels/math.h"
#include "kernels/merge_low_rank.h"
#include "kernels/norm_rope.h"
#include "kernels/round_inputs.h"
#include "kernels/transpose.h"

namespace llm_kernels::LLM_KERNELS_UNIT {

// What is expanded is one segment; only of a stripe of several tiles is no more met at once.
static_assert(kExpandInt8Rows > kTileRows && kExpandInt4Rows > kTileRows &&
              kExpandBFloat16Rows > kTileRows && kExpandFloat8Rows > kTileRows);

const KernelTable kTable = {
    kPanelRows,
    kTileRows,
    kDotTileRows,
    kInt8Bias,
    kBFloat16Products,
    {linear_tile<Float32>, linear_tile<BFloat16>, linear_tile<Float8>, linear_tile<Int8>,
     linear_tile<Int4>},
    {dot_tile<Int8Dot>, dot_tile<Int4Dot>, bfloat16_tile<kBFloat16Products>},
    kTall,
    round_int8,
    round_bfloat16,
    widen_bfloat16,
    round_float8,
    {SIZE_MAX, kExpandBFloat16Rows, kExpandFloat8Rows, kExpandInt8Rows, kExpandInt4Rows},
    {nullptr, expand<BFloat16>, expand<Float8>, expand<Int8>, expand_int4},
    rms_norm,
    layer_norm,
    rope_half,
    rope_interleaved,
    {activate<Silu>, activate<Gelu>, activate<GeluTanh>, activate<Relu>},
    {activate_gated<Silu>, activate_gated<Gelu>, activate_gated<GeluTanh>, activate_gated<Relu>},
    add_scaled,
    adapt,
    {kAttendQueries, kBFloat16Queries, kAttendQueries, kAttendQueries},
    {attend<Float32Items>, attend_bfloat16, attend<Int8Items>, attend<Int8Items>},
    merge_attention,
    finish_attention,
    transpose<uint16_t>,
    transpose<uint32_t>,
    {{merge_rows<Float32Type, Float32Type>, merge_rows<Float32Type, BFloat16Type>,
      merge_rows<Float32Type, Float16Type>},
     {merge_rows<BFloat16Type, Float32Type>, merge_rows<BFloat16Type, BFloat16Type>,
      merge_rows<BFloat16Type, Float16Type>},
     {merge_rows<Float16Type, Float32Type>, merge_rows<Float16Type, BFloat16Type>,
      merge_rows<Float16Type, Float16Type>}},
};

}  // namespace llm_kernels::LLM_KERNELS_UNIT
