"""Names of ELECTRA: BERT's layers behind embeddings of a width of their own."""

from __future__ import annotations

from llm_convert.encoders.names.bert import (
    CHOICE,
    CLASSIFIER,
    EMBEDDINGS,
    LAYER,
    SIZES,
    SPAN,
)
from llm_convert.encoders.table import (
    AnySize,
    Encoder,
    Head,
    When,
    head,
    linear,
    loose,
    norm,
    part,
    relettered,
    stated,
    tensor,
    tied,
)

# D is the width of the embeddings.
SIZES_WITH_NARROW: dict[str, AnySize] = {**SIZES, "D": stated("embedding_size", "hidden_size")}
NARROW_EMBEDDINGS = relettered(EMBEDDINGS, {"E": "D"})
# There only where the widths differ; the shapes of the layers tell on a file that lacks it.
PROJECTION = loose(part(linear("embeddings_project", "embeddings_project", "E D")))
UNTIED = When("tie_word_embeddings", (False,), default=True)
TIED = UNTIED._replace(but=True)
WORDS = "electra.embeddings.word_embeddings.weight"
GENERATOR = (
    *norm("generator_predictions.LayerNorm", "generator_predictions.layer_norm", "D"),
    *linear("generator_predictions.dense", "generator_predictions.dense", "D E"),
)

ELECTRA = Encoder(
    model_type="electra",
    hub_prefix="electra.",
    paddle_prefix="electra.",
    sizes=SIZES_WITH_NARROW,
    body={"embeddings": NARROW_EMBEDDINGS, "projection": PROJECTION, "layers": LAYER},
    heads={
        "generator": head(
            GENERATOR,
            tensor("generator_lm_head.bias", "generator_lm_head_bias", "V"),
            tied(tensor("generator_lm_head.weight", "", "V D"), WORDS),
            when=TIED,
        ),
        "untied_generator": head(
            GENERATOR, linear("generator_lm_head", "generator_lm_head", "V D"), when=UNTIED
        ),
        "discriminator": head(
            linear("discriminator_predictions.dense", "discriminator_predictions.dense", "E E"),
            linear(
                "discriminator_predictions.dense_prediction",
                "discriminator_predictions.dense_prediction",
                "1 E",
            ),
        ),
        "sequence": head(
            linear("classifier.dense", "classifier.dense", "E E"),
            linear("classifier.out_proj", "classifier.out_proj", "C E"),
        ),
        "summary": head(linear("sequence_summary.summary", "sequence_summary.dense", "E E")),
        "classifier": CLASSIFIER,
        "choice": CHOICE,
        "span": SPAN,
    },
    classes={
        "ElectraModel": Head("ElectraModel", bare=True),
        "ElectraForPreTraining": Head("ElectraDiscriminator", ("discriminator",)),
        "ElectraForMaskedLM": Head("ElectraForMaskedLM", ("generator", "untied_generator")),
        "ElectraForSequenceClassification": Head("ElectraForSequenceClassification", ("sequence",)),
        "ElectraForTokenClassification": Head("ElectraForTokenClassification", ("classifier",)),
        "ElectraForQuestionAnswering": Head("ElectraForQuestionAnswering", ("span",)),
        "ElectraForMultipleChoice": Head("ElectraForMultipleChoice", ("summary", "choice")),
    },
)
