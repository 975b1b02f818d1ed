"""Which base an adapter was trained on: a sketch of the weights it adapts, kept beside it.

Shapes alone do not tell two models of one architecture apart. A few numbers of every adapted weight
do, and still recognise the same model after a conversion to another layout or element type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_convert.errors import AdapterError
from llm_convert.files.json_file import read_json
from llm_convert.lora.adapter import LoraAdapter
from llm_convert.model import Model
from llm_kernels.families import ParameterKey

BASE_FILE = "lora_base.json"
SAMPLES = 16
FARTHEST = 0.25
"""Relative distance of two sketches of one model: 0.004 after rounding to bfloat16, about 0.1
after rounding to int4. Two models that were trained apart are 1.4 apart."""


def sketch(model: Model, keys: Iterable[ParameterKey]) -> dict[str, Any]:
    """Numbers of the weights `keys` of a base; of unpacked weights hardly more is read."""
    weights = {key.name: _sample_of(model, key).tolist() for key in keys}
    return {"path": str(model.path), "weights": weights}


def write_sketch(folder: Path, content: Mapping[str, Any]) -> None:
    """Keep the `sketch` of an adapter's base in the adapter's folder."""
    (folder / BASE_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


def check_base(folder: str | Path, model: Model) -> bool:
    """Whether the adapter in `folder` says what its base was, and it is `model`.

    False when it says nothing (adapters of other tools). Raises AdapterError for another base.
    """
    folder = Path(folder)
    if not (folder / BASE_FILE).is_file():
        return False
    content = read_json(folder / BASE_FILE)
    noted = {ParameterKey.parse(name): value for name, value in content["weights"].items()}
    here = np.concatenate([_sample_of(model, key) for key in noted])
    there = np.concatenate([np.array(value) for value in noted.values()])
    size = float(np.linalg.norm(there))
    distance = float(np.linalg.norm(here - there)) / (size or 1.0)
    if distance > FARTHEST:
        message = (
            f"The adapter {folder} was trained on {content['path']}; the weights of {model.path} "
            f"are others (relative distance {distance:.2g}, at most {FARTHEST}). Name its own base "
            "with --model_name_or_path."
        )
        raise AdapterError(message)
    return True


def carried_sketch(folder: str | Path, model: Model, adapter: LoraAdapter) -> dict[str, Any]:
    """What `folder` says of its adapter's base, or else the sketch of `model`, taken to be it.

    Raises AdapterError where it says that the base is another one.
    """
    if check_base(folder, model):
        return read_json(Path(folder) / BASE_FILE)
    return sketch(model, adapter.pairs)


def _sample_of(model: Model, key: ParameterKey) -> np.ndarray:
    """Numbers at fixed places of a weight [N, K], float64 [SAMPLES]."""
    stored = model.weight(key)
    # Of an array, only these numbers are read.
    weight = stored if isinstance(stored, np.ndarray) else stored.dequantize()
    places = np.linspace(0, weight.size - 1, SAMPLES).astype(np.int64)
    rows, columns = np.unravel_index(places, weight.shape)
    numbers = weight[rows, columns].astype(np.float64)
    model.release(key)
    return numbers
