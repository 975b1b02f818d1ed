"""Names of Bloom: q, k and v fused head by head."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under

LAYER = "h.{layer}."
STEMS = {
    "embed": "word_embeddings",
    "embed_norm": "word_embeddings_layernorm",
    "attn_norm": LAYER + "input_layernorm",
    "qkv": LAYER + "self_attention.query_key_value",
    "out": LAYER + "self_attention.dense",
    "mlp_norm": LAYER + "post_attention_layernorm",
    "up": LAYER + "mlp.dense_h_to_4h",
    "down": LAYER + "mlp.dense_4h_to_h",
    "final_norm": "ln_f",
}

TABLES = {
    "bloom": {
        "hf": Checkpoint(
            under("transformer.", STEMS),
            qkv="per_head",
            optional_prefix="transformer.",
        ),
        "paddlenlp": Checkpoint(
            under("bloom.", STEMS),
            qkv="per_head",
            linear="in_out",
            head="lm_head.decoder_weight",
            head_rows=True,
            optional_prefix="bloom.",
        ),
    },
}
