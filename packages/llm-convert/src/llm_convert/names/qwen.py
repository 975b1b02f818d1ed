"""Names of Qwen 1: `w2` is the gate, `w1` the up projection."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under, with_fused

LAYER = "h.{layer}."
STEMS = {
    "embed": "wte",
    "attn_norm": LAYER + "ln_1",
    "qkv": LAYER + "attn.c_attn",
    "out": LAYER + "attn.c_proj",
    "mlp_norm": LAYER + "ln_2",
    "up": LAYER + "mlp.w1",
    "gate": LAYER + "mlp.w2",
    "down": LAYER + "mlp.c_proj",
    "final_norm": "ln_f",
}

TABLES = {
    "qwen": {
        "hf": Checkpoint(under("transformer.", STEMS), optional_prefix="transformer."),
        "paddlenlp": with_fused(
            Checkpoint(under("qwen.", STEMS), linear="in_out", optional_prefix="qwen."),
            {"gate_up": f"qwen.{LAYER}mlp.gate_up_fused_proj"},
        ),
    },
}
