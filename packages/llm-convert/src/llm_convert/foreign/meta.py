"""LLaMA as Meta distributes it: params.json and consolidated.00.pth, .01.pth, ... of a model-
parallel run, put together tensor by tensor.

What params.json leaves open is read from the tensors (vocabulary, width of the feed-forward) or
follows from the generation of LLaMA: see `_length` and `_scaling`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llm_convert.errors import ConvertError, FileFormatError, TensorMismatchError
from llm_convert.files.json_file import read_json
from llm_convert.files.tensor_file import TensorFile, TensorInfo
from llm_convert.files.torch_file import open_torch
from llm_convert.layout import Layout
from llm_convert.model import Model
from llm_kernels.families import detect, read_sizes

PARAMS_FILE = "params.json"
_SHARD = re.compile(r"consolidated\.(\d\d)\.pth")
_EMBED, _HEAD, _GATE = "tok_embeddings.weight", "output.weight", "layers.0.feed_forward.w1.weight"
_LLAMA_3_THETA = 500_000


def open_meta(folder: Path) -> Model:
    """Open a folder with params.json and consolidated.NN.pth.

    Raises:
        ConvertError: the folder or a field of params.json is missing.
        FileFormatError: a shard is missing, truncated or malformed.
        TensorMismatchError: tensors that do not fit params.json, all listed at once.
    """
    if not (folder / PARAMS_FILE).is_file():
        message = (
            f"{folder} has no {PARAMS_FILE}. Name the folder of Meta's files: {PARAMS_FILE}, "
            "consolidated.00.pth and, if there are, the other shards."
        )
        raise ConvertError(message)
    shards = _shards(folder)
    params = read_json(folder / PARAMS_FILE)
    config = _config(folder, params, shards)
    spec = detect(config)
    sizes = read_sizes(spec, config)
    layout = Layout.of(spec, sizes, "meta")
    shapes = {name: tensor.shape for name, tensor in layout.tensors.items()}
    return Model(folder, config, spec, sizes, ModelParallel(folder, shards, shapes))


class ModelParallel(TensorFile):
    """The tensors of a model-parallel run: rows, columns or copies of each in every shard."""

    def __init__(
        self, path: Path, shards: Sequence[TensorFile], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """`shapes`: of the whole tensors; from them follows how each is divided."""
        self.path = path
        self._shards = shards
        self._axes = {name: self._axis(name, shapes.get(name)) for name in shards[0]}

    def __iter__(self) -> Iterator[str]:
        return iter(self._axes)

    def __len__(self) -> int:
        return len(self._axes)

    def info(self, name: str) -> TensorInfo:
        """Type and shape of the whole tensor. Raises KeyError."""
        axis, (dtype, shape) = self._axes[name], self._shards[0].info(name)
        if axis is None:
            return TensorInfo(dtype, shape)
        whole = sum(shard.info(name).shape[axis] for shard in self._shards)
        return TensorInfo(dtype, (*shape[:axis], whole, *shape[axis + 1 :]))

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole tensor; a view where it is not divided.

        Raises TensorMismatchError where copies of one tensor differ.
        """
        axis = self._axes[name]
        if axis is not None:
            return np.concatenate([shard[name] for shard in self._shards], axis=axis)
        first = self._shards[0][name]
        if any(shard[name].tobytes() != first.tobytes() for shard in self._shards[1:]):
            message = f"{self.path}: the shards hold different copies of {name}."
            raise TensorMismatchError(message)
        return first

    def release(self, name: str) -> None:
        """Let the system drop the pages of this tensor."""
        for shard in self._shards:
            shard.release(name)

    def _axis(self, name: str, whole: tuple[int, ...] | None) -> int | None:
        """The axis along which shards hold parts; None: every shard holds all of it."""
        count = len(self._shards)
        shape = self._shards[0].info(name).shape
        if whole is None or shape == whole or len(shape) != len(whole):
            return None  # whatever is wrong, the comparison with the model tells it
        divided = [axis for axis, size in enumerate(shape) if size * count == whole[axis]]
        return divided[0] if len(divided) == 1 else None


def _shards(folder: Path) -> list[TensorFile]:
    found = {
        int(match[1]): file for file in folder.iterdir() if (match := _SHARD.fullmatch(file.name))
    }
    count = max(found, default=0) + 1
    missing = [f"consolidated.{number:02d}.pth" for number in range(count) if number not in found]
    if missing:
        message = f"{folder} lacks {', '.join(missing)}. Copy or download them again."
        raise FileFormatError(message)
    shards: list[TensorFile] = [open_torch(found[number]) for number in range(count)]
    for number, shard in enumerate(shards):
        odd = sorted(set(shard) ^ set(shards[0]))
        uneven = [] if odd else [n for n in shard if shard.info(n) != shards[0].info(n)]
        if odd or uneven:
            message = (
                f"{folder}: consolidated.{number:02d}.pth and .00.pth differ in {len(odd + uneven)}"
                f" tensors: {', '.join((odd + uneven)[:10])}. They are of different runs."
            )
            raise TensorMismatchError(message)
    return shards


def _config(
    folder: Path, params: Mapping[str, Any], shards: Sequence[TensorFile]
) -> dict[str, Any]:
    """What the hub's config.json of this model says."""
    absent = [name for name in ("dim", "n_layers", "n_heads", "norm_eps") if name not in params]
    if absent:
        message = f"{folder / PARAMS_FILE} lacks {', '.join(absent)}. Copy or download it again."
        raise ConvertError(message)
    lost = [name for name in (_EMBED, _GATE) if name not in shards[0]]
    if lost:
        message = f"{folder} holds no LLaMA of Meta's: {', '.join(lost)} is missing."
        raise TensorMismatchError(message)
    dim, count = params["dim"], len(shards)
    embed = shards[0].info(_EMBED).shape
    # The first generations divide the embedding's columns, the third its rows.
    vocab = embed[0] if count == 1 or embed[1] != dim else embed[0] * count
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": dim,
        "intermediate_size": shards[0].info(_GATE).shape[0] * count,
        "num_hidden_layers": params["n_layers"],
        "num_attention_heads": params["n_heads"],
        "num_key_value_heads": params.get("n_kv_heads") or params["n_heads"],
        "rms_norm_eps": params["norm_eps"],
        "rope_theta": float(params.get("rope_theta") or 10_000),
        "vocab_size": vocab,
        "max_position_embeddings": _length(params),
        "tie_word_embeddings": _HEAD not in shards[0],
    }
    return config | _scaling(params)


def _length(params: Mapping[str, Any]) -> int:
    """Tokens that this generation was trained for; params.json does not state them."""
    if params.get("use_scaled_rope"):
        return 131_072
    if (params.get("rope_theta") or 0) >= _LLAMA_3_THETA:
        return 8192
    # LLaMA 1 has a smaller epsilon than its successor.
    return 2048 if params["norm_eps"] < 5e-6 else 4096


def _scaling(params: Mapping[str, Any]) -> dict[str, Any]:
    """LLaMA 3.1 stretches its rotary frequencies by 8, the small models of 3.2 by 32."""
    if not params.get("use_scaled_rope"):
        return {}
    stated = {
        "rope_type": "llama3",
        "factor": float(params.get("rope_scaling_factor") or (8 if params["dim"] >= 4096 else 32)),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    return {"rope_scaling": stated}
