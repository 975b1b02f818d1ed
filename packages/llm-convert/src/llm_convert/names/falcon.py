"""Names of Falcon: q, k and v fused KV head by KV head, as in Bloom."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under, without

LAYER = "h.{layer}."
STEMS = {
    "embed": "word_embeddings",
    "attn_norm": LAYER + "input_layernorm",
    "qkv": LAYER + "self_attention.query_key_value",
    "out": LAYER + "self_attention.dense",
    "mlp_norm": LAYER + "post_attention_layernorm",
    "up": LAYER + "mlp.dense_h_to_4h",
    "down": LAYER + "mlp.dense_4h_to_h",
    "final_norm": "ln_f",
}
TWO_NORMS = {**STEMS, "attn_norm": LAYER + "ln_attn", "mlp_norm": LAYER + "ln_mlp"}
ONE_NORM = without(STEMS, "mlp_norm")


def tables(stems: dict[str, str]) -> dict[str, Checkpoint]:
    """The hub's and PaddleNLP's table, which differ in the orientation of linears only."""
    named = under("transformer.", stems)
    return {
        "hf": Checkpoint(named, qkv="per_head", optional_prefix="transformer."),
        "paddlenlp": Checkpoint(
            named,
            qkv="per_head",
            linear="in_out",
            head_rows=True,
            head_repeated=True,
            optional_prefix="transformer.",
        ),
    }


TABLES = {
    "falcon": tables(STEMS),
    "rw": tables(STEMS),
    "falcon-grouped": tables(TWO_NORMS),
    "rw-grouped": tables(TWO_NORMS),
    "falcon-grouped-shared": tables(ONE_NORM),
}
