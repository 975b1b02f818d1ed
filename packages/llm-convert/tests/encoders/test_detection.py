"""Which table a config.json leads to."""

from __future__ import annotations

import pytest

from llm_convert.encoders import find_encoder
from llm_convert.encoders.names import ENCODERS
from llm_convert.errors import ConvertError
from llm_kernels.families import supported_architectures


def test_the_class_of_either_ecosystem() -> None:
    for name in ("BertForPreTraining", "BertForPretraining"):
        found = find_encoder({"architectures": [name], "model_type": "bert"})
        assert found is not None
        assert (found.hub_class, found.head.paddle) == ("BertForPreTraining", "BertForPretraining")


def test_without_a_class_it_is_the_base_model() -> None:
    found = find_encoder({"model_type": "distilbert"})
    assert found is not None
    assert found.hub_class == "DistilBertModel"


def test_other_models_are_no_encoders() -> None:
    assert find_encoder({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}) is None
    assert find_encoder({}) is None


def test_a_class_without_counterpart_is_refused() -> None:
    config = {"architectures": ["RoFormerForSequenceClassification"], "model_type": "roformer"}
    with pytest.raises(ConvertError, match=r"no counterpart.*RoFormerForTokenClassification"):
        find_encoder(config)


def test_no_class_is_a_decoders_too() -> None:
    classes = {
        name
        for encoder in ENCODERS
        for hub_class, head in encoder.classes.items()
        for name in (hub_class, head.paddle)
    }
    assert not classes & set(supported_architectures())
