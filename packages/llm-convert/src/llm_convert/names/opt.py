"""Names of OPT. The hub calls the norm before the MLP `final_layer_norm`, once in every layer."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under, with_fused

LAYER = "decoder.layers.{layer}."
ATTENTION = {
    "q": LAYER + "self_attn.q_proj",
    "k": LAYER + "self_attn.k_proj",
    "v": LAYER + "self_attn.v_proj",
    "out": LAYER + "self_attn.out_proj",
    "final_norm": "decoder.final_layer_norm",
    "project_out": "decoder.project_out",
}
HUB_STEMS = {
    **ATTENTION,
    "embed": "decoder.embed_tokens",
    "positions": "decoder.embed_positions",
    "project_in": "decoder.project_in",
    "attn_norm": LAYER + "self_attn_layer_norm",
    "mlp_norm": LAYER + "final_layer_norm",
    "up": LAYER + "fc1",
    "down": LAYER + "fc2",
}
PADDLE_STEMS = {
    **ATTENTION,
    "embed": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "project_in": "embeddings.project_in",
    "attn_norm": LAYER + "norm1",
    "mlp_norm": LAYER + "norm2",
    "up": LAYER + "linear1",
    "down": LAYER + "linear2",
}

OPT = {
    "hf": Checkpoint(under("model.", HUB_STEMS), optional_prefix="model."),
    "paddlenlp": with_fused(
        Checkpoint(
            under("opt.", PADDLE_STEMS),
            linear="in_out",
            head="lm_head.decoder_weight",
            head_rows=True,
            # PaddleNLP never ties it, and fills a head that the file lacks at random.
            head_repeated=True,
            parallel={"project_in": "column", "project_out": "column", "head": "replicated"},
            optional_prefix="opt.",
        ),
        {"qkv": f"opt.{LAYER}self_attn.qkv_proj"},
    ),
}

TABLES = {"opt": OPT, "opt-350m": OPT}
