"""Names of RoBERTa: BERT's body, heads of its own."""

from __future__ import annotations

from llm_convert.encoders.names.bert import BERT, CHOICE, CLASSIFIER, SPAN
from llm_convert.encoders.table import Head, head, like, linear, norm, optional, tensor, tied

DECODER = optional(
    (
        *tied(
            tensor("lm_head.decoder.weight", "lm_head.decoder.weight", "V E"),
            "roberta.embeddings.word_embeddings.weight",
        ),
        *tied(tensor("lm_head.decoder.bias", "lm_head.decoder.bias", "V"), "lm_head.bias"),
    )
)

ROBERTA = like(
    BERT,
    model_type="roberta",
    hub_prefix="roberta.",
    paddle_prefix="roberta.",
    heads={
        "predictions": head(
            linear("lm_head.dense", "lm_head.dense", "E E"),
            norm("lm_head.layer_norm", "lm_head.layer_norm", "E"),
            tensor("lm_head.bias", "lm_head.bias", "V"),
            DECODER,
        ),
        "sequence": head(
            linear("classifier.dense", "classifier.dense", "E E"),
            linear("classifier.out_proj", "classifier.out_proj", "C E"),
        ),
        "classifier": CLASSIFIER,
        "choice": CHOICE,
        "span": SPAN,
    },
    classes={
        "RobertaModel": Head("RobertaModel", bare=True),
        "RobertaForMaskedLM": Head("RobertaForMaskedLM", ("predictions",)),
        "RobertaForCausalLM": Head("RobertaForCausalLM", ("predictions",)),
        "RobertaForSequenceClassification": Head("RobertaForSequenceClassification", ("sequence",)),
        "RobertaForTokenClassification": Head("RobertaForTokenClassification", ("classifier",)),
        "RobertaForQuestionAnswering": Head("RobertaForQuestionAnswering", ("span",)),
        "RobertaForMultipleChoice": Head("RobertaForMultipleChoice", ("choice",)),
    },
)
