"""The decoder as a paddlenlp model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddlenlp.transformers.model_utils import PretrainedModel

from llm_kernels.families import parameters
from llm_train.model import build_model


def test_it_is_a_pretrained_model_that_adds_nothing(config_folder: Path) -> None:
    model = build_model(config_folder, continue_training=False)
    model.eval()
    tokens = paddle.to_tensor([[1, 2, 3]])
    assert isinstance(model, PretrainedModel)
    assert np.array_equal(model(tokens).numpy(), model.decoder(tokens).numpy())
    names = {name.removeprefix("decoder.") for name, _ in model.named_parameters()}
    assert names == {key.name for key in parameters(model.spec, model.sizes)}


def test_the_configuration_is_kept_as_it_was(config_folder: Path) -> None:
    model = build_model(config_folder, continue_training=False)
    assert model.source["architectures"] == ["LlamaForCausalLM"]
    assert model.source["intermediate_size"] == 48
