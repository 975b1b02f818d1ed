"""From a folder to a model that can be trained."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_convert.files.folder import find_weights
from llm_convert.model import open_model, read_config
from llm_kernels.paddle.layers import DENSE, Layers
from llm_kernels.paddle.weights import load_parameters
from llm_train.model.ignored import ignored_by_training
from llm_train.model.initial import initial_parameters
from llm_train.model.spec_model import SpecConfig, SpecForCausalLM
from llm_train.precheck import check_config

logger = logging.getLogger(__name__)


def build_model(
    path: str | Path,
    *,
    continue_training: bool = True,
    seed: int = 42,
    layers: Layers = DENSE,
) -> SpecForCausalLM:
    """The model of a folder: with its weights (dequantized), or with new ones from `seed`.

    `continue_training` false reads config.json alone. What of it training does not follow is said
    in the log. Raises RecipeError for families that cannot be trained, llm_convert's and
    llm_kernels' errors for folders, weights and configurations that are not right.
    """
    folder = Path(path)
    stored = open_model(folder) if continue_training else None
    config = stored.config if stored else read_config(folder)
    check_config(config)
    _say_what_is_ignored(folder, config)
    model = SpecForCausalLM(SpecConfig(config), layers)
    if stored is not None:
        load_parameters(model.decoder, stored.dense)
        return model
    if find_weights(folder) is not None:
        logger.warning(
            "The weights in %s are not used: the run starts from new weights (seed %d). Set "
            "--continue_training true to start from those.",
            folder,
            seed,
        )
    load_parameters(model.decoder, initial_parameters(model.spec, model.sizes, config, seed))
    return model


def _say_what_is_ignored(folder: Path, config: Mapping[str, Any]) -> None:
    ignored = ignored_by_training(config)
    if ignored:
        logger.warning(
            "%s has %s; this version trains without dropout and without a router loss.",
            folder / "config.json",
            ", ".join(f"{name} {value}" for name, value in ignored.items()),
        )
