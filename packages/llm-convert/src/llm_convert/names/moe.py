"""Names of the mixtures of experts: Qwen2-MoE, Qwen3-MoE and Mixtral."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under, without
from llm_convert.names.llama import LAYER, QK_NORMS, STEMS, alike, hub, paddle

EXPERT = LAYER + "mlp.experts.{expert}."
SHARED = LAYER + "mlp.shared_expert."
QWEN2_MOE = {
    **STEMS,
    "router": LAYER + "mlp.gate",
    "expert_gate": EXPERT + "gate_proj",
    "expert_up": EXPERT + "up_proj",
    "expert_down": EXPERT + "down_proj",
    "shared_router": LAYER + "mlp.shared_expert_gate",
    "shared_gate": SHARED + "gate_proj",
    "shared_up": SHARED + "up_proj",
    "shared_down": SHARED + "down_proj",
}
QWEN3_MOE = {
    **without(QWEN2_MOE, "shared_router", "shared_gate", "shared_up", "shared_down"),
    **QK_NORMS,
}

QWEN2_MOE_FUSED = {
    "gate_up": LAYER + "mlp.gate_up_fused_proj",
    "expert_gate_up": EXPERT + "gate_up_fused_proj",
    "shared_gate_up": SHARED + "gate_up_fused_proj",
}

SPARSE = LAYER + "block_sparse_moe."
MIXTRAL = {
    **without(STEMS, "gate", "up", "down"),
    "router": SPARSE + "gate",
    "expert_gate": SPARSE + "experts.{expert}.w1",
    "expert_up": SPARSE + "experts.{expert}.w3",
    "expert_down": SPARSE + "experts.{expert}.w2",
}

PADDLE_MIXTRAL = Checkpoint(under("mixtral.", MIXTRAL), linear="in_out", optional_prefix="mixtral.")

TABLES = {
    "qwen2-moe": {
        "hf": hub(QWEN2_MOE),
        "paddlenlp": paddle("qwen2_moe", QWEN2_MOE, **QWEN2_MOE_FUSED),
    },
    "qwen3-moe": alike("qwen3_moe", QWEN3_MOE),
    "mixtral": {"hf": hub(MIXTRAL), "paddlenlp": PADDLE_MIXTRAL},
}
