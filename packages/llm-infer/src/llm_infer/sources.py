"""What an engine can be made of, and how it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from llm_convert.errors import ConvertError
from llm_convert.model import Model, open_model
from llm_infer.bundle.layout import DESCRIPTION
from llm_infer.bundle.reading import BundledModel, open_bundle
from llm_infer.described import DescribedModel, describe
from llm_infer.errors import InferError
from llm_infer.static_graph.folder import GRAPH_FILE

Source: TypeAlias = Model | DescribedModel | BundledModel
"""A model's files, its description alone, or a mapped bundle."""


def open_source(path: str | Path, mode: str = "dynamic", native: bool = True) -> Source:
    """The model of a folder: its weights, or, of an exported one, its bundle or description."""
    if mode != "static":
        try:
            return open_model(path)
        except ConvertError as error:
            _point_at_static(Path(path), error)
            raise
    return open_bundle(path) if native else describe(path)


def _point_at_static(folder: Path, error: ConvertError) -> None:
    """Raise InferError with the options that run a folder which `llm infer export` wrote."""
    kinds = {DESCRIPTION: "--mode static", GRAPH_FILE: "--mode static --inference_model false"}
    for file, options in kinds.items():
        if (folder / file).is_file():
            message = f"{folder} was written by `llm infer export` ({file}); run it with {options}."
            raise InferError(message) from error
