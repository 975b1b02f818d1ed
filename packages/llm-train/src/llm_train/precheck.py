"""What can be known of a model folder before Paddle, which takes seconds, is imported."""

from __future__ import annotations

from pathlib import Path


def check_model(path: str) -> None:
    """Raise llm_convert's or llm_kernels' error where `path` is no model of a supported family."""
    from llm_convert.model import read_config
    from llm_kernels.families import detect, read_sizes

    config = read_config(Path(path))
    read_sizes(detect(config), config)
