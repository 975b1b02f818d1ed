"""Names of DeepSeek-V2 and V3: latent attention and shared experts."""

from __future__ import annotations

from dataclasses import replace

from llm_convert.names.checkpoint import Checkpoint, without
from llm_convert.names.llama import LAYER, STEMS, hub, paddle

ATTENTION = LAYER + "self_attn."
EXPERT = LAYER + "mlp.experts.{expert}."
SHARED = LAYER + "mlp.shared_experts."
DEEPSEEK = {
    **without(STEMS, "k", "v"),
    "q_down": ATTENTION + "q_a_proj",
    "q_down_norm": ATTENTION + "q_a_layernorm",
    "q_up": ATTENTION + "q_b_proj",
    "kv_down": ATTENTION + "kv_a_proj_with_mqa",
    "kv_down_norm": ATTENTION + "kv_a_layernorm",
    "kv_up": ATTENTION + "kv_b_proj",
    "router": LAYER + "mlp.gate",
    "expert_gate": EXPERT + "gate_proj",
    "expert_up": EXPERT + "up_proj",
    "expert_down": EXPERT + "down_proj",
    "shared_gate": SHARED + "gate_proj",
    "shared_up": SHARED + "up_proj",
    "shared_down": SHARED + "down_proj",
}
PREDICTOR = LAYER + "eh_proj.weight"
CORRECTION = LAYER + "mlp.gate.e_score_correction_bias"


def tables(base: str) -> dict[str, Checkpoint]:
    """The hub's and PaddleNLP's table."""
    # PaddleNLP's classes rotate pairs, whatever `rope_interleave` says.
    own = replace(paddle(base, DEEPSEEK), rope_rows="pairs")
    forms = {"hf": (hub(DEEPSEEK), "model"), "paddlenlp": (own, base)}
    return {
        naming: replace(
            table,
            bare={"router_correction": f"{top}.{CORRECTION}"},
            predictor=f"{top}.{PREDICTOR}",
            variants=(),
        )
        for naming, (table, top) in forms.items()
    }


V2, V3 = tables("deepseek_v2"), tables("deepseek_v3")
TABLES = {
    "deepseek-v2": V2,
    "deepseek-v2-lite": V2,
    "deepseek-v3": V3,
    "deepseek-v3-lite": V3,
}
