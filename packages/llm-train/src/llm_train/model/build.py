"""From a folder to a model that can be trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_convert.files.folder import find_weights
from llm_convert.model import open_model, read_config
from llm_kernels.families import ParameterKey, Sizes, detect, read_sizes
from llm_kernels.paddle.layers import DENSE
from llm_kernels.paddle.weights import load_parameters
from llm_train.exhausted import loading_named
from llm_train.model.ignored import ignored_by_training
from llm_train.model.initial import initial_parameters
from llm_train.model.shares import load_shares, mark_tied
from llm_train.model.spec_model import SpecConfig, SpecForCausalLM
from llm_train.parallel.fit import check_layout
from llm_train.parallel.groups import Parallel
from llm_train.parallel.layout import Layout
from llm_train.parallel.pipeline_stages import stage_blocks
from llm_train.parallel.tensor import mark_partial, parallel_layers
from llm_train.precheck import check_config

logger = logging.getLogger(__name__)


def build_model(
    path: str | Path,
    *,
    continue_training: bool = True,
    seed: int = 42,
    parallel: Parallel | None = None,
) -> SpecForCausalLM:
    """The model of a folder: with its weights (dequantized), or with new ones from `seed`.

    With `parallel`, this process's share of it. `continue_training` false reads config.json alone.
    What of it training does not follow is said in the log. Raises llm_convert's and llm_kernels'
    errors for folders, weights and configurations that are not right, ExhaustedError where memory
    runs out.
    """
    folder = Path(path)
    stored = open_model(folder) if continue_training else None
    config = stored.config if stored else read_config(folder)
    check_config(config)
    _say_what_is_ignored(
        folder, config, staged=parallel is not None and parallel.layout.pipeline > 1
    )
    with loading_named(folder, config):
        model = _empty_model(config, parallel)
        if stored is not None:
            set_parameters(model, stored.dense, parallel)
            return model
        if find_weights(folder) is not None:
            logger.warning(
                "The weights in %s are not used: the run starts from new weights (seed %d). Set "
                "--continue_training true to start from those.",
                folder,
                seed,
            )
        new = initial_parameters(model.spec, model.sizes, config, seed)
        set_parameters(model, new, parallel)
    return model


def set_parameters(
    model: SpecForCausalLM,
    get: Callable[[ParameterKey], np.ndarray],
    parallel: Parallel | None = None,
) -> None:
    """Set every parameter, or this process's share of it, from `get(key)`, canonical [out, in].

    Raises ShapeError that names the parameter when an array has another shape.
    """
    if parallel is None:
        load_parameters(model.decoder, get)
    else:
        load_shares(model, get, parallel)


def _empty_model(config: Mapping[str, Any], parallel: Parallel | None) -> SpecForCausalLM:
    if parallel is None:
        return SpecForCausalLM(SpecConfig(config))
    layout = parallel.layout
    spec = detect(config)
    sizes = read_sizes(spec, config)
    check_layout(layout, spec, sizes)
    layers = parallel_layers(parallel, sizes) if layout.tensor > 1 else DENSE
    model = SpecForCausalLM(SpecConfig(config), layers, _stages(layout, sizes))
    if layout.tensor > 1:
        for decoder in model.decoders:
            mark_partial(decoder, sequence=layout.sequence)
    if layout.pipeline > 1:
        mark_tied(model)
    return model


def _stages(layout: Layout, sizes: Sizes) -> list[range] | None:
    if layout.pipeline == 1:
        return None
    every = stage_blocks(sizes.layers, layout.pipeline * layout.chunks)
    return every[layout.pipeline_rank :: layout.pipeline]


def _say_what_is_ignored(folder: Path, config: Mapping[str, Any], *, staged: bool) -> None:
    ignored = ignored_by_training(config, staged=staged)
    if ignored:
        logger.warning(
            "%s has %s; this version trains without them (no dropout; no router loss with these "
            "fields, or in a pipeline).",
            folder / "config.json",
            ", ".join(f"{name} {value}" for name, value in ignored.items()),
        )
