"""From a folder to a model that can be trained."""

from __future__ import annotations

from pathlib import Path

from llm_convert.model import open_model, read_config
from llm_kernels.paddle.layers import DENSE, Layers
from llm_kernels.paddle.weights import load_parameters
from llm_train.model.initial import initial_parameters
from llm_train.model.spec_model import SpecConfig, SpecForCausalLM


def build_model(
    path: str | Path,
    *,
    continue_training: bool = True,
    seed: int = 42,
    layers: Layers = DENSE,
) -> SpecForCausalLM:
    """The model of a folder: with its weights (dequantized), or with new ones from `seed`.

    `continue_training` false reads config.json alone. Raises llm_convert's and llm_kernels' errors
    for folders, weights and configurations that are not right.
    """
    folder = Path(path)
    if not continue_training:
        config = read_config(folder)
        model = SpecForCausalLM(SpecConfig(config), layers)
        start = initial_parameters(model.spec, model.sizes, config, seed)
        load_parameters(model.decoder, start)
        return model
    stored = open_model(folder)
    model = SpecForCausalLM(SpecConfig(stored.config), layers)
    load_parameters(model.decoder, stored.dense)
    return model
