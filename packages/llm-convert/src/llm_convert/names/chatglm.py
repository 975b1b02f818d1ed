"""Names of ChatGLM-6B, ChatGLM2 / ChatGLM3, and of GLM, whose blocks are named alike."""

from __future__ import annotations

from llm_convert.names.checkpoint import Checkpoint, under

LAYER = "layers.{layer}."
BLOCKS = {
    "attn_norm": LAYER + "input_layernorm",
    "qkv": LAYER + "attention.query_key_value",
    "out": LAYER + "attention.dense",
    "mlp_norm": LAYER + "post_attention_layernorm",
    "up": LAYER + "mlp.dense_h_to_4h",
    "down": LAYER + "mlp.dense_4h_to_h",
    "final_norm": "final_layernorm",
}
CHATGLM = {"embed": "word_embeddings", **BLOCKS}
GLM = {
    "embed": "word_embeddings",
    **under(
        "transformer.",
        {
            "positions": "position_embeddings",
            "block_positions": "block_position_embeddings",
            **BLOCKS,
        },
    ),
}

ENCODER = "encoder." + LAYER
CHATGLM2 = {
    "embed": "embedding.word_embeddings",
    "attn_norm": ENCODER + "input_layernorm",
    "qkv": ENCODER + "self_attention.query_key_value",
    "out": ENCODER + "self_attention.dense",
    "mlp_norm": ENCODER + "post_attention_layernorm",
    "gate_up": ENCODER + "mlp.dense_h_to_4h",
    "down": ENCODER + "mlp.dense_4h_to_h",
    "final_norm": "encoder.final_layernorm",
}

TABLES = {
    "chatglm": {
        "hf": Checkpoint(
            under("transformer.", CHATGLM),
            qkv="per_head",
            optional_prefix="transformer.",
        ),
        # No head: PaddleNLP's class uses the embedding, so a head may be written only if equal.
        "paddlenlp": Checkpoint(
            under("chatglm.transformer.", CHATGLM),
            qkv="per_head",
            linear="in_out",
            head="",
            optional_prefix="chatglm.",
        ),
    },
    "chatglm2": {
        "hf": Checkpoint(
            under("transformer.", CHATGLM2),
            head="transformer.output_layer.weight",
            optional_prefix="transformer.",
        ),
        "paddlenlp": Checkpoint(
            under("chatglm_v2.", CHATGLM2),
            linear="in_out",
            head="chatglm_v2.output_layer.weight",
            optional_prefix="chatglm_v2.",
        ),
    },
    "glm": {
        "hf": Checkpoint(under("glm.", GLM), optional_prefix="glm."),
        "paddlenlp": Checkpoint(
            under("glm.", GLM), linear="in_out", rank_qkv="per_head", optional_prefix="glm."
        ),
    },
}
