"""What an engine can be made of, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from llm_convert.model import Model, open_model
from llm_infer.bundle.reading import BundledModel, open_bundle
from llm_infer.described import DescribedModel, describe

Source: TypeAlias = Model | DescribedModel | BundledModel
"""A model's files, its description alone, or a mapped bundle."""


def open_source(path: str | Path, mode: str = "dynamic", native: bool = True) -> Source:
    """The model of a folder: its weights, or, of an exported one, its bundle or description."""
    if mode != "static":
        return open_model(path)
    return open_bundle(path) if native else describe(path)
