"""Names of T5, mT5 and ERNIE-Code: the same in both ecosystems but for PaddleNLP's prefix."""

from __future__ import annotations

from llm_convert.encoders.table import (
    Encoder,
    Head,
    Part,
    Row,
    Size,
    When,
    head,
    like,
    linear,
    optional,
    part,
    stated,
    tensor,
    tied,
)

GATED = When("feed_forward_proj", ("gated-gelu", "gated-silu"), default="relu")
PLAIN = GATED._replace(but=True)
UNTIED = When("tie_word_embeddings", (False,), default=True)
TIED = UNTIED._replace(but=True)


def same(name: str, shape: str) -> tuple[Row, ...]:
    """A tensor of the same name and shape in both ecosystems."""
    return tensor(name, name, shape)


def matrix(name: str, shape: str) -> tuple[Row, ...]:
    """A linear layer without bias, of the same name in both ecosystems."""
    return linear(name, name, shape, bias=False)


def attention(name: str) -> tuple[Row, ...]:
    """The four projections; A is the width of all heads together."""
    return (
        *(row for leaf in "qkv" for row in matrix(f"{name}.{leaf}", "A E")),
        *matrix(f"{name}.o", "E A"),
    )


def ends(stack: str) -> Part:
    """What a stack has beside its blocks."""
    bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return part(
        same(bias, "B H"),
        same(f"{stack}.final_layer_norm.weight", "E"),
        optional(tied(same(f"{stack}.embed_tokens.weight", "V E"), "shared.weight")),
    )


def mlp(block: str, layer: int, repeat: str) -> dict[str, Part]:
    """Both forms of the feed-forward layer; config.json says which one there is."""
    stem = f"{block}.layer.{layer}.DenseReluDense"
    out = matrix(f"{stem}.wo", "E M")
    gate = (*matrix(f"{stem}.wi_0", "M E"), *matrix(f"{stem}.wi_1", "M E"))
    return {
        f"{stem} gated": part(gate, out, repeat=repeat, when=GATED),
        f"{stem} plain": part(matrix(f"{stem}.wi", "M E"), out, repeat=repeat, when=PLAIN),
    }


ENCODER_BLOCK, DECODER_BLOCK = "encoder.block.{i}", "decoder.block.{i}"
ENCODER = {
    "shared": part(same("shared.weight", "V E")),
    "encoder": part(
        attention(f"{ENCODER_BLOCK}.layer.0.SelfAttention"),
        same(f"{ENCODER_BLOCK}.layer.0.layer_norm.weight", "E"),
        same(f"{ENCODER_BLOCK}.layer.1.layer_norm.weight", "E"),
        repeat="L",
    ),
    **mlp(ENCODER_BLOCK, 1, "L"),
    "encoder ends": ends("encoder"),
}
DECODER = {
    "decoder": part(
        attention(f"{DECODER_BLOCK}.layer.0.SelfAttention"),
        same(f"{DECODER_BLOCK}.layer.0.layer_norm.weight", "E"),
        attention(f"{DECODER_BLOCK}.layer.1.EncDecAttention"),
        same(f"{DECODER_BLOCK}.layer.1.layer_norm.weight", "E"),
        same(f"{DECODER_BLOCK}.layer.2.layer_norm.weight", "E"),
        repeat="R",
    ),
    **mlp(DECODER_BLOCK, 2, "R"),
    "decoder ends": ends("decoder"),
}

T5 = Encoder(
    model_type="t5",
    hub_prefix="",
    paddle_prefix="t5.",
    sizes={
        "V": stated("vocab_size"),
        "E": stated("d_model", "hidden_size"),
        "A": Size((("num_heads", "num_attention_heads"), ("d_kv",))),
        "H": stated("num_heads", "num_attention_heads"),
        "M": stated("d_ff"),
        "B": stated("relative_attention_num_buckets", default=32),
        "L": stated("num_layers", "num_hidden_layers"),
        "R": stated("num_decoder_layers", "num_layers", "num_hidden_layers"),
    },
    body={**ENCODER, **DECODER},
    heads={
        "untied": head(matrix("lm_head", "V E"), when=UNTIED),
        "tied": head(tied(tensor("lm_head.weight", "", "V E"), "shared.weight"), when=TIED),
    },
    classes={
        "T5Model": Head("T5Model", bare=True),
        "T5ForConditionalGeneration": Head("T5ForConditionalGeneration", ("untied", "tied")),
        "T5EncoderModel": Head("T5EncoderModel", bare=True, body=tuple(ENCODER)),
    },
    # The first T5 files carry a bias that no implementation reads.
    ignore=(r"EncDecAttention\.relative_attention_bias\.weight$",),
)
MT5 = like(
    T5,
    model_type="mt5",
    paddle_prefix="mt5.",
    classes={
        "MT5Model": Head("MT5Model", bare=True),
        "MT5ForConditionalGeneration": Head("MT5ForConditionalGeneration", ("untied", "tied")),
        "MT5EncoderModel": Head("MT5EncoderModel", bare=True, body=tuple(ENCODER)),
    },
)
# transformers has no class of this name: the hub's files are mT5's.
ERNIE_CODE = like(
    T5,
    model_type="ErnieCode",
    paddle_prefix="ErnieCode.",
    hub_type="mt5",
    classes={
        "ErnieCodeModel": Head("ErnieCodeModel", bare=True, hub="MT5Model"),
        "ErnieCodeForConditionalGeneration": Head(
            "ErnieCodeForConditionalGeneration",
            ("untied", "tied"),
            hub="MT5ForConditionalGeneration",
        ),
        "ErnieCodeEncoderModel": Head(
            "ErnieCodeEncoderModel", bare=True, body=tuple(ENCODER), hub="MT5EncoderModel"
        ),
    },
)
