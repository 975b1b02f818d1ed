"""Names of BERT and of what other tables share with it: embeddings, layers, prediction heads."""

from __future__ import annotations

from llm_convert.encoders.table import (
    AnySize,
    Encoder,
    Head,
    Labels,
    head,
    linear,
    loose,
    norm,
    optional,
    part,
    stated,
    tensor,
    tied,
)

SIZES: dict[str, AnySize] = {
    "V": stated("vocab_size"),
    "E": stated("hidden_size"),
    "L": stated("num_hidden_layers"),
    "M": stated("intermediate_size"),
    "P": stated("max_position_embeddings", default=512),
    "S": stated("type_vocab_size", default=2),
    "C": Labels(),
}
LAYER = part(
    linear("encoder.layer.{i}.attention.self.query", "encoder.layers.{i}.self_attn.q_proj", "E E"),
    linear("encoder.layer.{i}.attention.self.key", "encoder.layers.{i}.self_attn.k_proj", "E E"),
    linear("encoder.layer.{i}.attention.self.value", "encoder.layers.{i}.self_attn.v_proj", "E E"),
    linear(
        "encoder.layer.{i}.attention.output.dense", "encoder.layers.{i}.self_attn.out_proj", "E E"
    ),
    norm("encoder.layer.{i}.attention.output.LayerNorm", "encoder.layers.{i}.norm1", "E"),
    linear("encoder.layer.{i}.intermediate.dense", "encoder.layers.{i}.linear1", "M E"),
    linear("encoder.layer.{i}.output.dense", "encoder.layers.{i}.linear2", "E M"),
    norm("encoder.layer.{i}.output.LayerNorm", "encoder.layers.{i}.norm2", "E"),
    repeat="L",
)
WORDS = tensor("embeddings.word_embeddings.weight", "embeddings.word_embeddings.weight", "V E")
POSITIONS = tensor(
    "embeddings.position_embeddings.weight", "embeddings.position_embeddings.weight", "P E"
)
SEGMENTS = tensor(
    "embeddings.token_type_embeddings.weight", "embeddings.token_type_embeddings.weight", "S E"
)
EMBEDDING_NORM = norm("embeddings.LayerNorm", "embeddings.layer_norm", "E")
EMBEDDINGS = part(WORDS, POSITIONS, SEGMENTS, EMBEDDING_NORM)
# Heads that need no pooled output come from transformers without a pooler; PaddleNLP has it always.
POOLER = loose(part(linear("pooler.dense", "pooler.dense", "E E")))
CLASSIFIER = head(linear("classifier", "classifier", "C E"))
CHOICE = head(linear("classifier", "classifier", "1 E"))
SPAN = head(linear("qa_outputs", "classifier", "2 E"))
# A .bin file repeats what is tied. Both ecosystems' classes tie it again.
DECODER = optional(
    (
        *tied(
            tensor("cls.predictions.decoder.weight", "cls.predictions.decoder.weight", "V E"),
            "bert.embeddings.word_embeddings.weight",
        ),
        *tied(
            tensor("cls.predictions.decoder.bias", "cls.predictions.decoder.bias", "V"),
            "cls.predictions.bias",
        ),
    )
)
PREDICTIONS = head(
    linear("cls.predictions.transform.dense", "cls.predictions.transform", "E E"),
    norm("cls.predictions.transform.LayerNorm", "cls.predictions.layer_norm", "E"),
    tensor("cls.predictions.bias", "cls.predictions.decoder_bias", "V"),
    DECODER,
)

BERT = Encoder(
    model_type="bert",
    hub_prefix="bert.",
    paddle_prefix="bert.",
    sizes=SIZES,
    body={"embeddings": EMBEDDINGS, "layers": LAYER, "pooler": POOLER},
    heads={
        "predictions": PREDICTIONS,
        "next": head(linear("cls.seq_relationship", "cls.seq_relationship", "2 E")),
        "classifier": CLASSIFIER,
        "choice": CHOICE,
        "span": SPAN,
    },
    classes={
        "BertModel": Head("BertModel", bare=True),
        "BertForPreTraining": Head("BertForPretraining", ("predictions", "next")),
        "BertForMaskedLM": Head("BertForMaskedLM", ("predictions",)),
        "BertForSequenceClassification": Head("BertForSequenceClassification", ("classifier",)),
        "BertForTokenClassification": Head("BertForTokenClassification", ("classifier",)),
        "BertForQuestionAnswering": Head("BertForQuestionAnswering", ("span",)),
        "BertForMultipleChoice": Head("BertForMultipleChoice", ("choice",)),
    },
)
