"""What can be known of a model folder before Paddle, which takes seconds, is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_train.training_options import TrainingOptions


def check_model(path: str) -> None:
    """Raise the error of `check_config`, or llm_convert's, where `path` cannot be trained."""
    from llm_convert.model import read_config

    check_config(read_config(Path(path)))


def check_processes(options: TrainingOptions) -> None:
    """Raise RecipeError where the processes of the run do not fit its degrees or its model."""
    from llm_convert.model import read_config
    from llm_kernels.families import detect, read_sizes
    from llm_train.parallel.fit import check_layout
    from llm_train.parallel.layout import layout_of, processes

    config = read_config(Path(options.model_name_or_path))
    spec = detect(config)
    layout = layout_of(options, max(processes(), options.nproc_per_node * options.nnodes))
    check_layout(layout, spec, read_sizes(spec, config))


def check_config(config: Mapping[str, Any]) -> None:
    """Raise llm_kernels' errors where `config` is of no supported family."""
    from llm_kernels.families import detect, read_sizes

    read_sizes(detect(config), config)
