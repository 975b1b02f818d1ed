"""Prefix tuning from files: `pre_caches.npy`, or a checkpoint of PaddleNLP with its configuration.

`pre_caches.npy` is [layers, 2, heads, P, head_dim], keys before values. A checkpoint holds
`prefix_config.json` and the weights of its encoder: an embedding [P, channels], or one that two
linears with a tanh between them widen (`prefix_projection`). Its channels are the keys of all
layers, then the values, [2 * layers, heads, head_dim]. Any number of places P; `heads` are the
model's KV heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_convert.files.folder import open_weights
from llm_convert.files.json_file import read_json
from llm_infer.engine.prefixes import TunedPrefix
from llm_infer.errors import InferError
from llm_kernels.families import Sizes

ARRAY_FILE = "pre_caches.npy"
CONFIG_FILE = "prefix_config.json"
WEIGHT_FILES = ("prefix_model_state.pdparams", "prefix_model.safetensors")


def read_prefix(path: str | Path, sizes: Sizes) -> TunedPrefix:
    """The prefix in a folder or an .npy file, for a model of these sizes.

    Raises InferError for a path without one and for shapes of another model, and what llm_convert
    raises for broken files.
    """
    path = Path(path)
    if path.is_file():
        return _split(_array(path), path, sizes)
    if (path / ARRAY_FILE).is_file():
        return _split(_array(path / ARRAY_FILE), path / ARRAY_FILE, sizes)
    if (path / CONFIG_FILE).is_file():
        return _split(_encoded(path, read_json(path / CONFIG_FILE)), path, sizes)
    message = (
        f"{path} holds no tuned prefix: looked for {ARRAY_FILE} and {CONFIG_FILE}. Name the folder "
        "that prefix tuning wrote, or the .npy file."
    )
    raise InferError(message)


def _array(path: Path) -> NDArray[np.generic]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as an array: {error}. Copy it again from its origin."
        raise InferError(message) from error


def _encoded(folder: Path, config: dict[str, Any]) -> NDArray[np.float32]:
    """[layers, 2, heads, P, head_dim] from an encoder's weights."""
    files = open_weights(folder, WEIGHT_FILES)
    weights = {
        name.removeprefix("prefix_encoder."): np.asarray(files[name], np.float32) for name in files
    }
    projected = bool(config.get("prefix_projection"))
    names = ["0.weight", *(["1.weight", "1.bias", "3.weight", "3.bias"] if projected else [])]
    missing = [name for name in names if name not in weights]
    if missing:
        message = f"{folder} lacks the prefix encoder's {', '.join(missing)}; copy it again."
        raise InferError(message)
    places = weights["0.weight"]
    if projected:
        inner = np.tanh(places @ weights["1.weight"] + weights["1.bias"])
        places = inner @ weights["3.weight"] + weights["3.bias"]
    layers = int(config.get("num_hidden_layers") or 0)
    heads = int(config.get("multi_query_group_num") or config.get("num_attention_heads") or 0)
    count, channels = places.shape
    if not layers or not heads or channels % (2 * layers * heads):
        message = (
            f"{folder / CONFIG_FILE} names {layers} layers and {heads} heads, which do not divide "
            f"the {channels} channels of the weights. Copy both files from the same checkpoint."
        )
        raise InferError(message)
    split = places.reshape(count, 2, layers, heads, channels // (2 * layers * heads))
    return split.transpose(2, 1, 3, 0, 4)


def _split(caches: NDArray[np.generic], path: Path, sizes: Sizes) -> TunedPrefix:
    wanted = (sizes.layers, 2, sizes.kv_heads, None, sizes.head_dim)
    fits = caches.ndim == len(wanted) and all(
        want in (None, have) for want, have in zip(wanted, caches.shape, strict=True)
    )
    if not fits or caches.shape[3] < 1:
        message = (
            f"{path} holds keys and values of shape {list(caches.shape)}, but the model needs "
            f"[{sizes.layers} layers, 2, {sizes.kv_heads} KV heads, places, {sizes.head_dim} "
            "elements]. Was the prefix tuned on this model? PaddleNLP writes a Llama prefix with "
            "query heads where keys have fewer; such a file cannot be used."
        )
        raise InferError(message)
    values = np.asarray(caches, np.float32)
    if not np.isfinite(values).all():
        message = f"{path} holds values that are no finite numbers; tune the prefix again."
        raise InferError(message)
    transposed = values.transpose(1, 0, 3, 2, 4)
    return TunedPrefix(np.ascontiguousarray(transposed[0]), np.ascontiguousarray(transposed[1]))
