"""Names of CLIP: a text and a vision transformer, each also on its own."""

from __future__ import annotations

from llm_convert.encoders.table import (
    Encoder,
    Head,
    Part,
    Patches,
    head,
    linear,
    norm,
    part,
    stated,
    tensor,
    under,
)


def layers(model: str, width: str, mlp: str, repeat: str) -> Part:
    """The transformer of one side."""
    return part(
        under(
            f"{model}.encoder.layers.{{i}}.",
            f"{model}.transformer.layers.{{i}}.",
            (
                *norm("layer_norm1", "norm1", width),
                *(
                    row
                    for name in ("q_proj", "k_proj", "v_proj", "out_proj")
                    for row in linear(f"self_attn.{name}", f"self_attn.{name}", f"{width} {width}")
                ),
                *norm("layer_norm2", "norm2", width),
                *linear("mlp.fc1", "linear1", f"{mlp} {width}"),
                *linear("mlp.fc2", "linear2", f"{width} {mlp}"),
            ),
        ),
        repeat=repeat,
    )


TEXT = {
    "text embeddings": part(
        under(
            "text_model.embeddings.",
            "text_model.",
            (
                *tensor("token_embedding.weight", "token_embedding.weight", "V E"),
                *tensor("position_embedding.weight", "positional_embedding.weight", "P E"),
            ),
        )
    ),
    "text layers": layers("text_model", "E", "M", "L"),
    "text norm": part(norm("text_model.final_layer_norm", "text_model.ln_final", "E")),
}
VISION = {
    "vision embeddings": part(
        under(
            "vision_model.embeddings.",
            "vision_model.",
            (
                *tensor("class_embedding", "class_embedding", "W"),
                *tensor("patch_embedding.weight", "conv1.weight", "W I K K"),
                *tensor("position_embedding.weight", "positional_embedding.weight", "T W"),
            ),
        ),
        norm("vision_model.pre_layrnorm", "vision_model.ln_pre", "W"),
    ),
    "vision layers": layers("vision_model", "W", "U", "R"),
    "vision norm": part(norm("vision_model.post_layernorm", "vision_model.ln_post", "W")),
}
TEXT_SIDE, VISION_SIDE = "text_config", "vision_config"

CLIP = Encoder(
    model_type="clip",
    hub_prefix="",
    paddle_prefix="",
    sizes={
        "V": stated("vocab_size", within=TEXT_SIDE),
        "E": stated("hidden_size", within=TEXT_SIDE),
        "M": stated("intermediate_size", within=TEXT_SIDE),
        "L": stated("num_hidden_layers", within=TEXT_SIDE),
        "P": stated("max_position_embeddings", within=TEXT_SIDE, default=77),
        "W": stated("hidden_size", within=VISION_SIDE),
        "U": stated("intermediate_size", within=VISION_SIDE),
        "R": stated("num_hidden_layers", within=VISION_SIDE),
        "I": stated("num_channels", within=VISION_SIDE, default=3),
        "K": stated("patch_size", within=VISION_SIDE),
        "T": Patches(VISION_SIDE),
        "J": stated("projection_dim", default=512),
    },
    body={**TEXT, **VISION},
    heads={
        "scale": head(tensor("logit_scale", "logit_scale", "", "boxed")),
        "text projection": head(
            tensor("text_projection.weight", "text_projection", "J E", "transposed")
        ),
        "vision projection": head(
            tensor("visual_projection.weight", "vision_projection", "J W", "transposed")
        ),
    },
    classes={
        "CLIPModel": Head("CLIPModel", ("scale", "text projection", "vision projection")),
        "CLIPTextModel": Head("CLIPTextModel", bare=True, body=tuple(TEXT)),
        "CLIPTextModelWithProjection": Head(
            "CLIPTextModelWithProjection", ("text projection",), body=tuple(TEXT)
        ),
        "CLIPVisionModel": Head("CLIPVisionModel", bare=True, body=tuple(VISION)),
        "CLIPVisionModelWithProjection": Head(
            "CLIPVisionModelWithProjection", ("vision projection",), body=tuple(VISION)
        ),
    },
)
