"""Names of RoFormer: rotary positions, so no table of them; heads as far as both ecosystems agree.

transformers classifies sequences with a head of two layers on the first token, PaddleNLP with one
layer on a pooled output that transformers does not have: those classes have no counterpart.
"""

from __future__ import annotations

from llm_convert.encoders.names.bert import (
    BERT,
    CLASSIFIER,
    EMBEDDING_NORM,
    LAYER,
    POOLER,
    SEGMENTS,
    SPAN,
    WORDS,
)
from llm_convert.encoders.names.electra import PROJECTION, SIZES_WITH_NARROW
from llm_convert.encoders.table import (
    Head,
    head,
    like,
    linear,
    norm,
    optional,
    part,
    relettered,
    tensor,
    tied,
)

PREDICTIONS = head(
    linear("cls.predictions.transform.dense", "cls.predictions.transform", "D E"),
    norm("cls.predictions.transform.LayerNorm", "cls.predictions.layer_norm", "D"),
    tensor("cls.predictions.bias", "cls.predictions.decoder_bias", "V"),
    tied(tensor("cls.predictions.decoder.bias", "", "V"), "cls.predictions.bias"),
    optional(
        tied(
            tensor("cls.predictions.decoder.weight", "cls.predictions.decoder_weight", "V D"),
            "roformer.embeddings.word_embeddings.weight",
        )
    ),
)

ROFORMER = like(
    BERT,
    model_type="roformer",
    hub_prefix="roformer.",
    paddle_prefix="roformer.",
    sizes=SIZES_WITH_NARROW,
    body={
        "embeddings": relettered(part(WORDS, SEGMENTS, EMBEDDING_NORM), {"E": "D"}),
        "projection": PROJECTION,
        "layers": LAYER,
        "pooler": POOLER,
    },
    heads={"predictions": PREDICTIONS, "classifier": CLASSIFIER, "span": SPAN},
    classes={
        "RoFormerModel": Head("RoFormerModel", bare=True),
        "RoFormerForMaskedLM": Head("RoFormerForMaskedLM", ("predictions",)),
        "RoFormerForCausalLM": Head("RoFormerForCausalLM", ("predictions",)),
        "RoFormerForTokenClassification": Head("RoFormerForTokenClassification", ("classifier",)),
        "RoFormerForQuestionAnswering": Head("RoFormerForQuestionAnswering", ("span",)),
    },
    # Sinusoids, which both implementations compute anew.
    ignore=(*BERT.ignore, r"encoder\.embed_positions\.weight$"),
)
