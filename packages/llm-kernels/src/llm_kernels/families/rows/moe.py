"""The mixtures of experts: Qwen2-MoE, Qwen3-MoE and Mixtral."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.llama import LLAMA
from llm_kernels.families.rows.qwen import QWEN2, QWEN3
from llm_kernels.families.rows.readings import ATTENTION_BIAS, HIDDEN_ACT, STATED_QKV_BIAS
from llm_kernels.families.rows.row import Row
from llm_kernels.families.spec import Attention, Moe

# The original code of both slides in every layer, whatever max_window_layers says.
QWEN2_MOE = replace(
    QWEN2,
    name="qwen2-moe",
    attention=Attention(qkv_bias=True, windowed="all"),
    moe=Moe(shared_expert=True),
)
QWEN3_MOE = replace(
    QWEN3, name="qwen3-moe", attention=Attention(qk_norm=True, windowed="all"), moe=Moe()
)
MIXTRAL = replace(LLAMA, name="mixtral", moe=Moe(renormalize=True))

ROWS = (
    Row(
        QWEN2_MOE,
        frozenset({"Qwen2MoeForCausalLM", "Qwen2MoeModel"}),
        readings=(HIDDEN_ACT, STATED_QKV_BIAS),
    ),
    Row(
        QWEN3_MOE,
        frozenset({"Qwen3MoeForCausalLM", "Qwen3MoeModel"}),
        readings=(HIDDEN_ACT, ATTENTION_BIAS),
    ),
    Row(MIXTRAL, frozenset({"MixtralForCausalLM", "MixtralModel"}), readings=(HIDDEN_ACT,)),
)
