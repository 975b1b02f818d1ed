"""Names of DistilBERT: no segments, no pooler, and fields of config.json named its own way."""

from __future__ import annotations

from llm_convert.encoders.names.bert import CLASSIFIER, EMBEDDING_NORM, POSITIONS, SPAN, WORDS
from llm_convert.encoders.table import (
    Encoder,
    Head,
    Labels,
    head,
    linear,
    norm,
    part,
    stated,
    tensor,
    tied,
)

LAYER = part(
    linear("transformer.layer.{i}.attention.q_lin", "encoder.layers.{i}.self_attn.q_proj", "E E"),
    linear("transformer.layer.{i}.attention.k_lin", "encoder.layers.{i}.self_attn.k_proj", "E E"),
    linear("transformer.layer.{i}.attention.v_lin", "encoder.layers.{i}.self_attn.v_proj", "E E"),
    linear(
        "transformer.layer.{i}.attention.out_lin", "encoder.layers.{i}.self_attn.out_proj", "E E"
    ),
    norm("transformer.layer.{i}.sa_layer_norm", "encoder.layers.{i}.norm1", "E"),
    linear("transformer.layer.{i}.ffn.lin1", "encoder.layers.{i}.linear1", "M E"),
    linear("transformer.layer.{i}.ffn.lin2", "encoder.layers.{i}.linear2", "E M"),
    norm("transformer.layer.{i}.output_layer_norm", "encoder.layers.{i}.norm2", "E"),
    repeat="L",
)

DISTILBERT = Encoder(
    model_type="distilbert",
    hub_prefix="distilbert.",
    paddle_prefix="distilbert.",
    sizes={
        "V": stated("vocab_size"),
        "E": stated("dim", "hidden_size"),
        "L": stated("n_layers", "num_hidden_layers"),
        "M": stated("hidden_dim", "intermediate_size"),
        "P": stated("max_position_embeddings", default=512),
        "C": Labels(),
    },
    body={"embeddings": part(WORDS, POSITIONS, EMBEDDING_NORM), "layers": LAYER},
    heads={
        "predictions": head(
            linear("vocab_transform", "vocab_transform", "E E"),
            norm("vocab_layer_norm", "vocab_layer_norm", "E"),
            # PaddleNLP's class does not tie its projector to the embedding.
            tied(
                tensor("vocab_projector.weight", "vocab_projector.weight", "V E", "transposed"),
                "distilbert.embeddings.word_embeddings.weight",
            ),
            tensor("vocab_projector.bias", "vocab_projector.bias", "V"),
        ),
        "sequence": head(linear("pre_classifier", "pre_classifier", "E E")),
        "classifier": CLASSIFIER,
        "span": SPAN,
    },
    classes={
        "DistilBertModel": Head("DistilBertModel", bare=True),
        "DistilBertForMaskedLM": Head("DistilBertForMaskedLM", ("predictions",)),
        "DistilBertForSequenceClassification": Head(
            "DistilBertForSequenceClassification", ("sequence", "classifier")
        ),
        "DistilBertForTokenClassification": Head(
            "DistilBertForTokenClassification", ("classifier",)
        ),
        "DistilBertForQuestionAnswering": Head("DistilBertForQuestionAnswering", ("span",)),
    },
    fields={
        "dim": "hidden_size",
        "hidden_dim": "intermediate_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    },
)
