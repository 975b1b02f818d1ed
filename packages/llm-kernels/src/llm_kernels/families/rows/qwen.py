"""Qwen 1, Qwen 2 / 2.5 and Qwen 3 (the dense ones)."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.llama import LLAMA
from llm_kernels.families.rows.readings import ATTENTION_BIAS, HIDDEN_ACT
from llm_kernels.families.rows.row import Reading, Row
from llm_kernels.families.spec import Attention, FamilySpec, Mlp, Rope

QWEN = FamilySpec(
    "qwen",
    position=Rope(dynamic_ntk=True),
    attention=Attention(qkv_bias=True, logn=True),
    mlp=Mlp(width_factor=0.5),
    # max_position_embeddings is what the tables hold, seq_length what was trained.
    length_fields=("seq_length", "max_position_embeddings"),
)
QWEN2 = replace(LLAMA, name="qwen2", attention=Attention(qkv_bias=True))
QWEN3 = replace(LLAMA, name="qwen3", attention=Attention(qk_norm=True))

ROWS = (
    Row(
        QWEN,
        frozenset({"QWenLMHeadModel", "QWenForCausalLM", "QWenModel"}),
        readings=(
            Reading("use_dynamic_ntk", {True: {}, False: {"position.dynamic_ntk": False}}),
            Reading("use_logn_attn", {True: {}, False: {"attention.logn": False}}),
            Reading("no_bias", {True: {}, False: {"attention.out_bias": True, "mlp.bias": True}}),
            Reading("rotary_pct", {1.0: {}}),
            Reading("scale_attn_weights", {True: {}}),
        ),
    ),
    Row(QWEN2, frozenset({"Qwen2ForCausalLM", "Qwen2Model"}), readings=(HIDDEN_ACT,)),
    Row(
        QWEN3,
        frozenset({"Qwen3ForCausalLM", "Qwen3Model"}),
        readings=(HIDDEN_ACT, ATTENTION_BIAS),
    ),
)
