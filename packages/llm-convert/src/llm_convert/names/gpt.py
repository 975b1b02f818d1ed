"""Names of GPT-2, whose hub files hold transposed Conv1D weights, and of PaddleNLP's GPT-3."""

from __future__ import annotations

from llm_convert.names.checkpoint import BUFFERS, Checkpoint, under, with_fused

HUB_LAYER = "h.{layer}."
HUB_STEMS = {
    "embed": "wte",
    "positions": "wpe",
    "attn_norm": HUB_LAYER + "ln_1",
    "qkv": HUB_LAYER + "attn.c_attn",
    "out": HUB_LAYER + "attn.c_proj",
    "mlp_norm": HUB_LAYER + "ln_2",
    "up": HUB_LAYER + "mlp.c_fc",
    "down": HUB_LAYER + "mlp.c_proj",
    "final_norm": "ln_f",
}
PADDLE_LAYER = "decoder.layers.{layer}."
PADDLE_STEMS = {
    "embed": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "attn_norm": PADDLE_LAYER + "norm1",
    "q": PADDLE_LAYER + "self_attn.q_proj",
    "k": PADDLE_LAYER + "self_attn.k_proj",
    "v": PADDLE_LAYER + "self_attn.v_proj",
    "out": PADDLE_LAYER + "self_attn.out_proj",
    "mlp_norm": PADDLE_LAYER + "norm2",
    "up": PADDLE_LAYER + "linear1",
    "down": PADDLE_LAYER + "linear2",
    "final_norm": "decoder.norm",
}

HUB = Checkpoint(
    under("transformer.", HUB_STEMS),
    linear="in_out",
    head_rows=True,
    optional_prefix="transformer.",
    # The causal mask of each layer, which the original code saved as a buffer.
    ignore=(*BUFFERS, r"h\.\d+\.attn\.(masked_)?bias$"),
)
PADDLE = with_fused(
    Checkpoint(
        under("gpt.", PADDLE_STEMS), linear="in_out", head_rows=True, optional_prefix="gpt."
    ),
    {"qkv": f"gpt.{PADDLE_LAYER}self_attn.qkv_proj"},
)

TABLES = {
    "gpt2": {"hf": HUB, "paddlenlp": PADDLE},
    "gpt3": {"hf": HUB, "paddlenlp": PADDLE},
}
