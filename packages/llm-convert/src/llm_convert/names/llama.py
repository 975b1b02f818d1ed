"""Names of LLaMA and of the families that share its stems.

Mistral, Baichuan, Phi-3, Gemma, GLM-4's native classes, Qwen2 and Qwen3.
"""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under, with_fused, without

LAYER = "layers.{layer}."
STEMS = {
    "embed": "embed_tokens",
    "attn_norm": LAYER + "input_layernorm",
    "q": LAYER + "self_attn.q_proj",
    "k": LAYER + "self_attn.k_proj",
    "v": LAYER + "self_attn.v_proj",
    "out": LAYER + "self_attn.o_proj",
    "mlp_norm": LAYER + "post_attention_layernorm",
    "gate": LAYER + "mlp.gate_proj",
    "up": LAYER + "mlp.up_proj",
    "down": LAYER + "mlp.down_proj",
    "final_norm": "norm",
}
QK_NORMS = {"q_norm": LAYER + "self_attn.q_norm", "k_norm": LAYER + "self_attn.k_norm"}
W_PACK = {**without(STEMS, "q", "k", "v"), "qkv": LAYER + "self_attn.W_pack"}
FUSED_UP = {**without(STEMS, "gate", "up"), "gate_up": LAYER + "mlp.gate_up_proj"}
PHI3 = {**without(FUSED_UP, "q", "k", "v"), "qkv": LAYER + "self_attn.qkv_proj"}
GEMMA2 = {
    **STEMS,
    "attn_out_norm": LAYER + "post_attention_layernorm",
    "mlp_norm": LAYER + "pre_feedforward_layernorm",
    "mlp_out_norm": LAYER + "post_feedforward_layernorm",
}
GLM4_0414 = {
    **FUSED_UP,
    "attn_out_norm": LAYER + "post_self_attn_layernorm",
    "mlp_out_norm": LAYER + "post_mlp_layernorm",
}

META = Checkpoint(
    {
        "embed": "tok_embeddings",
        "attn_norm": LAYER + "attention_norm",
        "q": LAYER + "attention.wq",
        "k": LAYER + "attention.wk",
        "v": LAYER + "attention.wv",
        "out": LAYER + "attention.wo",
        "mlp_norm": LAYER + "ffn_norm",
        "gate": LAYER + "feed_forward.w1",
        "up": LAYER + "feed_forward.w3",
        "down": LAYER + "feed_forward.w2",
        "final_norm": "norm",
    },
    rope_rows="pairs",
    head="output.weight",
    ignore=(r"^rope\.freqs$",),
)


def hub(stems: dict[str, str]) -> Checkpoint:
    """The hub's table: stems below `model.`."""
    return Checkpoint(under("model.", stems), optional_prefix="model.")


def alike(base: str, stems: dict[str, str]) -> dict[str, Checkpoint]:
    """Both tables of a family that PaddleNLP has no class for: its conventions, the same stems."""
    named = under(f"{base}.", stems)
    return {
        "hf": hub(stems),
        "paddlenlp": Checkpoint(named, linear="in_out", optional_prefix=f"{base}."),
    }


def paddle(base: str, stems: dict[str, str], **fused_ffn: str) -> Checkpoint:
    """PaddleNLP's table: stems below `base.`, with its fused forms as variants.

    `fused_ffn`: fused slots of the feed-forward blocks -> stem.
    """
    table = Checkpoint(under(f"{base}.", stems), linear="in_out", optional_prefix=f"{base}.")
    ffn = under(f"{base}.", fused_ffn or {"gate_up": LAYER + "mlp.gate_up_fused_proj"})
    return with_fused(table, {"qkv": f"{base}.{LAYER}self_attn.qkv_proj"}, ffn)


LLAMA = {"hf": hub(STEMS), "paddlenlp": paddle("llama", STEMS), "meta": META}
_BAICHUAN = paddle("llama", STEMS)
# PaddleNLP has no head that scales its rows, so it gets one that is scaled already. Files that it
# or an earlier version of ours wrote have only that.
_SCALED = Checkpoint(
    _BAICHUAN.names,
    linear="in_out",
    raw_head="lm_head.raw_weight",
    optional_prefix=_BAICHUAN.optional_prefix,
    variants=_BAICHUAN.forms(),
)
BAICHUAN2 = {"hf": hub(W_PACK), "paddlenlp": _SCALED}
BAICHUAN = {"hf": hub(W_PACK), "paddlenlp": paddle("llama", STEMS)}

TABLES = {
    "llama": LLAMA,
    "mistral": {"hf": hub(STEMS), "paddlenlp": paddle("mistral", STEMS)},
    "phi3": alike("phi3", PHI3),
    "gemma": {"hf": hub(STEMS), "paddlenlp": paddle("gemma", STEMS)},
    "gemma2": alike("gemma2", GEMMA2),
    "glm4": alike("glm", FUSED_UP),
    "glm4-0414": alike("glm4", GLM4_0414),
    "baichuan-7b": BAICHUAN,
    "baichuan-13b": BAICHUAN,
    "baichuan2-7b": BAICHUAN2,
    "baichuan2-13b": BAICHUAN2,
    "qwen2": {"hf": hub(STEMS), "paddlenlp": paddle("qwen2", STEMS)},
    "qwen3": {
        "hf": hub({**STEMS, **QK_NORMS}),
        "paddlenlp": paddle("qwen3", {**STEMS, **QK_NORMS}),
    },
}
