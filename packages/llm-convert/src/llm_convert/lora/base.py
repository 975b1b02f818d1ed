"""Which base an adapter was trained on: a sketch of the weights it adapts, kept beside it.

Shapes alone do not tell two models of one architecture apart, and a model that was trained on stays
near the one it came from. So some numbers of every adapted weight are kept exactly: the same model
has them, or has them rounded to another type. A quantized base alone cannot be told for certain.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from llm_convert.errors import AdapterError
from llm_convert.files.json_file import read_json
from llm_convert.lora.adapter import LoraAdapter
from llm_convert.model import Model
from llm_convert.quantization.dense import dense
from llm_kernels.families import ParameterKey

logger = logging.getLogger(__name__)

BASE_FILE = "lora_base.json"
CONFIGS = ("lora_config.json", "adapter_config.json")
SAMPLES = 16
FARTHEST = 0.25
"""Relative distance from a model to itself in four bits: about 0.1. Two models that were trained
apart are 1.4 apart, one and what was trained on from it mostly below 0.1."""
_HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
_TYPES = (np.dtype(np.float32), *_HALVES)


def sketch(model: Model, keys: Iterable[ParameterKey]) -> dict[str, Any]:
    """Numbers of the weights `keys` of a base; of unpacked weights hardly more is read."""
    weights = {key.name: _sample_of(model, key).tolist() for key in keys}
    quantized = model.quantization is not None
    return {"path": str(model.path), "quantized": quantized, "weights": weights}


def write_sketch(folder: Path, content: Mapping[str, Any]) -> None:
    """Keep the `sketch` of an adapter's base in the adapter's folder."""
    (folder / BASE_FILE).write_text(json.dumps(content) + "\n", encoding="utf-8")


def check_base(folder: str | Path, model: Model, *, allow_other: bool = False) -> bool:
    """Whether the adapter in `folder` says which weights its base had, and `model` has them.

    False when it says nothing (adapters of other tools), with a warning where it names another
    base. A base that may be its own in another rounding, and with `allow_other` any, is warned of.
    Raises AdapterError for another base.
    """
    folder = Path(folder)
    if not (folder / BASE_FILE).is_file():
        _check_name(folder, model)
        return False
    content = read_json(folder / BASE_FILE)
    noted = {ParameterKey.parse(name): value for name, value in content["weights"].items()}
    here = np.concatenate([_sample_of(model, key) for key in noted])
    there = np.concatenate([np.array(value) for value in noted.values()])
    if same_numbers(here, there):
        return True
    size = float(np.linalg.norm(there))
    distance = float(np.linalg.norm(here - there)) / (size or 1.0)
    # Sketches of earlier versions do not say whether their base was quantized.
    quantized = model.quantization is not None or content.get("quantized") is not False
    if quantized and distance <= FARTHEST:
        logger.warning(
            "%s was trained on %s; the weights of %s are at a relative distance of %.2g, as "
            "rounding to few bits moves them. Whether they were the same before, their numbers "
            "do not tell.",
            *(folder, content["path"], model.path, distance),
        )
    elif allow_other:
        logger.warning(
            "%s was trained on %s; %s is another base (relative distance %.2g), as was allowed.",
            *(folder, content["path"], model.path, distance),
        )
    else:
        most = f"at most {FARTHEST} in another rounding" if quantized else "which must be 0"
        message = (
            f"The adapter {folder} was trained on {content['path']}; the weights of {model.path} "
            f"are others (relative distance {distance:.2g}, {most}). Name its own base; to use "
            f"this one all the same, remove {BASE_FILE} from the adapter's folder, or merge with "
            "--allow_other_base."
        )
        raise AdapterError(message)
    return True


def same_numbers(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether float64 numbers are the same ones, but for a rounding to a narrower type.

    One may be the other rounded to float32, float16 or bfloat16, or both may be roundings of the
    same to the latter two.
    """
    with np.errstate(over="ignore"):
        rounded = {
            dtype: [numbers.astype(dtype).astype(np.float64) for numbers in (one, other)]
            for dtype in _TYPES
        }
    if any(np.array_equal(a, other) or np.array_equal(one, b) for a, b in rounded.values()):
        return True
    # Most numbers of bfloat16 are numbers of float16, too.
    in_float16, in_bfloat16 = (
        [np.array_equal(a, one), np.array_equal(b, other)]
        for a, b in (rounded[dtype] for dtype in _HALVES)
    )
    if sum(in_bfloat16) != 1 or not in_float16[in_bfloat16.index(False)]:
        return False
    # Half a unit of each type; float16 has no numbers below 2**-24.
    slack = sum(float(ml_dtypes.finfo(dtype).eps) / 2 for dtype in _HALVES)
    largest = np.maximum(np.abs(one), np.abs(other))
    return bool((np.abs(one - other) <= slack * largest + 2.0**-24).all())


def named_base(folder: Path) -> str | None:
    """The base that an adapter's configuration names; None where it names none."""
    for name in CONFIGS:
        if (folder / name).is_file():
            named = read_json(folder / name).get("base_model_name_or_path")
            return named if isinstance(named, str) and named else None
    return None


def _check_name(folder: Path, model: Model) -> None:
    named = named_base(folder)
    if named is None:
        return
    cached = f"models--{named.partition('@')[0].replace('/', '--')}"
    if Path(named).name != model.path.name and cached not in model.path.parts:
        logger.warning(
            "%s names its base %s and holds nothing to recognise it by; that %s is it is taken on "
            "trust: names differ, shapes fit.",
            *(folder, named, model.path),
        )


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
    weight = dense(stored)
    places = np.linspace(0, weight.size - 1, SAMPLES).astype(np.int64)
    rows, columns = np.unravel_index(places, weight.shape)
    numbers = weight[rows, columns].astype(np.float64)
    model.release(key)
    return numbers
