"""Names of BART: PaddleNLP nests its stacks one level deeper."""

from __future__ import annotations

from llm_convert.encoders.table import (
    Encoder,
    Head,
    Labels,
    Row,
    head,
    linear,
    norm,
    optional,
    part,
    stated,
    tensor,
    tied,
    under,
)


def attention(hub: str, paddle: str) -> tuple[Row, ...]:
    """The four projections of one attention."""
    return tuple(
        row
        for name in ("q_proj", "k_proj", "v_proj", "out_proj")
        for row in linear(f"{hub}.{name}", f"{paddle}.{name}", "E E")
    )


def ends(stack: str) -> tuple[Row, ...]:
    """Positions and first norm of a stack."""
    words = f"{stack}.embed_tokens.weight"
    return (
        *tensor(
            f"{stack}.embed_positions.weight", f"{stack}.{stack}_embed_positions.weight", "P E"
        ),
        *norm(f"{stack}.layernorm_embedding", f"{stack}.{stack}_layernorm_embedding", "E"),
        *optional(tied(tensor(words, words, "V E"), "model.shared.weight")),
    )


ENCODER_LAYER = part(
    under(
        "encoder.layers.{i}.",
        "encoder.encoder.layers.{i}.",
        (
            *attention("self_attn", "self_attn"),
            *norm("self_attn_layer_norm", "norm1", "E"),
            *linear("fc1", "linear1", "M E"),
            *linear("fc2", "linear2", "E M"),
            *norm("final_layer_norm", "norm2", "E"),
        ),
    ),
    repeat="L",
)
DECODER_LAYER = part(
    under(
        "decoder.layers.{i}.",
        "decoder.decoder.layers.{i}.",
        (
            *attention("self_attn", "self_attn"),
            *norm("self_attn_layer_norm", "norm1", "E"),
            *attention("encoder_attn", "cross_attn"),
            *norm("encoder_attn_layer_norm", "norm2", "E"),
            *linear("fc1", "linear1", "N E"),
            *linear("fc2", "linear2", "E N"),
            *norm("final_layer_norm", "norm3", "E"),
        ),
    ),
    repeat="R",
)

BART = Encoder(
    model_type="bart",
    hub_prefix="model.",
    paddle_prefix="bart.",
    sizes={
        "V": stated("vocab_size"),
        "E": stated("d_model"),
        "L": stated("encoder_layers", "num_encoder_layers"),
        "R": stated("decoder_layers", "num_decoder_layers"),
        "M": stated("encoder_ffn_dim"),
        "N": stated("decoder_ffn_dim"),
        # Both implementations keep two more rows than there are positions.
        "P": stated("max_position_embeddings", plus=2, default=1024),
        "C": Labels(),
    },
    body={
        "shared": part(tensor("shared.weight", "shared.weight", "V E")),
        "ends": part(ends("encoder"), ends("decoder")),
        "encoder": ENCODER_LAYER,
        "decoder": DECODER_LAYER,
    },
    heads={
        "generation": head(
            # PaddleNLP's class does not tie its head to the embedding.
            tied(tensor("lm_head.weight", "lm_head_weight", "V E"), "model.shared.weight"),
            optional(tensor("final_logits_bias", "final_logits_bias", "1 V")),
        ),
        "sequence": head(
            linear("classification_head.dense", "classifier.dense", "E E"),
            linear("classification_head.out_proj", "classifier.out_proj", "C E"),
        ),
        "span": head(linear("qa_outputs", "classifier", "2 E")),
    },
    classes={
        "BartModel": Head("BartModel", bare=True),
        "BartForConditionalGeneration": Head("BartForConditionalGeneration", ("generation",)),
        "BartForSequenceClassification": Head("BartForSequenceClassification", ("sequence",)),
        "BartForQuestionAnswering": Head("BartForQuestionAnswering", ("span",)),
    },
)
