"""Names of ALBERT: groups of layers that share their weights."""

from __future__ import annotations

from llm_convert.encoders.names.bert import CHOICE, CLASSIFIER
from llm_convert.encoders.names.electra import NARROW_EMBEDDINGS, SIZES_WITH_NARROW
from llm_convert.encoders.table import (
    Encoder,
    Head,
    head,
    linear,
    loose,
    norm,
    optional,
    part,
    stated,
    tensor,
    tied,
    under,
)

GROUP = "encoder.albert_layer_groups.{i}.albert_layers.0."
LAYER = part(
    under(
        GROUP,
        GROUP,
        (
            *linear("attention.query", "attention.query", "E E"),
            *linear("attention.key", "attention.key", "E E"),
            *linear("attention.value", "attention.value", "E E"),
            *linear("attention.dense", "attention.dense", "E E"),
            *norm("attention.LayerNorm", "attention.layer_norm", "E"),
            *linear("ffn", "ffn", "M E"),
            *linear("ffn_output", "ffn_output", "E M"),
            *norm("full_layer_layer_norm", "full_layer_layer_norm", "E"),
        ),
    ),
    repeat="G",
)
MAPPING = "encoder.embedding_hidden_mapping_in"
PREDICTIONS = head(
    linear("predictions.dense", "predictions.dense", "D E"),
    norm("predictions.LayerNorm", "predictions.layer_norm", "D"),
    tensor("predictions.bias", "predictions.bias", "V"),
    # PaddleNLP's class for pretraining does not tie it to the embedding.
    tied(
        tensor("predictions.decoder.weight", "predictions.decoder.weight", "V D"),
        "albert.embeddings.word_embeddings.weight",
    ),
    optional(
        tied(
            tensor("predictions.decoder.bias", "predictions.decoder.bias", "V"), "predictions.bias"
        )
    ),
)

ALBERT = Encoder(
    model_type="albert",
    hub_prefix="albert.",
    paddle_prefix="transformer.",
    # PaddleNLP has one layer to a group.
    sizes={
        **SIZES_WITH_NARROW,
        "D": stated("embedding_size", default=128),
        "G": stated("num_hidden_groups", default=1),
    },
    body={
        "embeddings": NARROW_EMBEDDINGS,
        "mapping": part(linear(MAPPING, MAPPING, "E D")),
        "layers": LAYER,
        "pooler": loose(part(linear("pooler", "pooler", "E E"))),
    },
    heads={
        "predictions": PREDICTIONS,
        "order": head(linear("sop_classifier.classifier", "sop_classifier.classifier", "C E")),
        "classifier": CLASSIFIER,
        "choice": CHOICE,
        "span": head(linear("qa_outputs", "qa_outputs", "2 E")),
    },
    classes={
        "AlbertModel": Head("AlbertModel", bare=True),
        "AlbertForPreTraining": Head("AlbertForPretraining", ("predictions", "order")),
        "AlbertForMaskedLM": Head("AlbertForMaskedLM", ("predictions",)),
        "AlbertForSequenceClassification": Head("AlbertForSequenceClassification", ("classifier",)),
        "AlbertForTokenClassification": Head("AlbertForTokenClassification", ("classifier",)),
        "AlbertForQuestionAnswering": Head("AlbertForQuestionAnswering", ("span",)),
        "AlbertForMultipleChoice": Head("AlbertForMultipleChoice", ("choice",)),
    },
)
