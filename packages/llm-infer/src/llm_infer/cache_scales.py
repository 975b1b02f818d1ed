"""Scales of a static int8 KV cache, as PaddleNLP's calibration (PTQ) writes them.

`cachekv_scales.json` holds, for each layer, `...<layer>...cachek_matmul.activation_quanter` and
`cachev_matmul`: the largest number that each head had, a list (or one number for all heads).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_infer.errors import InferError
from llm_kernels.cache_layout import CacheScales
from llm_kernels.families import Sizes

SCALES_FILE = "cachekv_scales.json"
_NAME = re.compile(r"(?:^|\.)(\d+)\..*cache([kv])_matmul(?:\.activation_quanter)?$")


def read_cache_scales(folder: Path, sizes: Sizes) -> CacheScales:
    """The scales in a model's folder.

    Raises InferError where they are missing or incomplete, ShapeError for those of another model.
    """
    file = folder / SCALES_FILE
    if not file.is_file():
        message = (
            f"--cachekv_int8_type static needs {file}, which PaddleNLP's PTQ writes: for each "
            "layer N the largest number that every head's keys and values had, "
            '{"N.cachek_matmul": [...], "N.cachev_matmul": [...]}. No command here makes it; '
            "--cachekv_int8_type dynamic needs none."
        )
        raise InferError(message)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = {
            (match[2], int(match[1])): np.atleast_1d(np.asarray(value, np.float32))
            for name, value in dict(content).items()
            if (match := _NAME.search(name))
        }
    except (OSError, ValueError, TypeError) as error:
        message = f"{file} cannot be read: {error}. Calibrate again."
        raise InferError(message) from error
    keys, values = (_stacked(file, found, which, sizes) for which in ("k", "v"))
    return CacheScales.from_abs_max(keys, values, sizes.kv_heads)


def _stacked(
    file: Path, found: dict[tuple[str, int], NDArray[np.float32]], which: str, sizes: Sizes
) -> NDArray[np.float32]:
    """The largest numbers of all layers, [L, heads]."""
    missing = [layer for layer in range(sizes.layers) if (which, layer) not in found]
    if missing:
        message = (
            f"{file} names no cache{which}_matmul of layer {missing[0]}; the model has "
            f"{sizes.layers} layers. Does it belong to this model?"
        )
        raise InferError(message)
    rows = [found[which, layer] for layer in range(sizes.layers)]
    width = max(sizes.kv_heads, *(len(row) for row in rows))
    wrong = [layer for layer, row in enumerate(rows) if len(row) not in (1, width)]
    if wrong:
        message = f"{file}: layer {wrong[0]} has {len(rows[wrong[0]])} heads, others {width}."
        raise InferError(message)
    return np.stack([np.broadcast_to(row, width) for row in rows])
