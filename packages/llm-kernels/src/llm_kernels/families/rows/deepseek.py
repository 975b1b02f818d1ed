"""DeepSeek-V2 and V3: latent attention, shared experts, experts chosen by groups.

V2-Lite has no narrow vector for q; the V3 configurations may leave it out as well.
"""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import HIDDEN_ACT, MLP_BIAS
from llm_kernels.families.rows.row import Reading, Row, When
from llm_kernels.families.spec import Attention, FamilySpec, Moe, Rope

V2 = FamilySpec(
    "deepseek-v2",
    position=Rope("interleaved"),
    attention=Attention(latent="qkv"),
    moe=Moe(renormalize=False, shared_expert=True, shared_gate=False, scaled=True),
)
V2_LITE = replace(V2, name="deepseek-v2-lite", attention=Attention(latent="kv"))
V3 = replace(
    V2,
    name="deepseek-v3",
    moe=Moe(
        "sigmoid",
        shared_expert=True,
        shared_gate=False,
        groups="best_two",
        corrected=True,
        scaled=True,
    ),
)
V3_LITE = replace(V3, name="deepseek-v3-lite", attention=Attention(latent="kv"))

V2_CLASSES = frozenset({"DeepseekV2ForCausalLM", "DeepseekV2Model"})
V3_CLASSES = frozenset({"DeepseekV3ForCausalLM", "DeepseekV3Model"})
SHARED = (
    HIDDEN_ACT,
    Reading(
        "attention_bias",
        {False: {}, True: {"attention.qkv_bias": True, "attention.out_bias": True}},
    ),
    Reading("rope_interleave", {True: {}, False: {"position.pairing": "half"}}),
)
V2_READINGS = (
    *SHARED,
    MLP_BIAS,
    Reading("topk_method", {"greedy": {}, "group_limited_greedy": {"moe.groups": "best"}}),
    Reading("scoring_func", {"softmax": {}}),
    Reading("norm_topk_prob", {False: {}}),
)
V3_READINGS = (
    *SHARED,
    Reading("topk_method", {"noaux_tc": {}}),
    Reading("scoring_func", {"sigmoid": {}}),
)
NARROW_Q = (When(present=("q_lora_rank",)),)
WIDE_Q = (When(absent=("q_lora_rank",)),)

ROWS = (
    Row(V2, V2_CLASSES, NARROW_Q, V2_READINGS),
    Row(V2_LITE, V2_CLASSES, WIDE_Q, V2_READINGS),
    Row(V3, V3_CLASSES, NARROW_Q, V3_READINGS),
    Row(V3_LITE, V3_CLASSES, WIDE_Q, V3_READINGS),
)
