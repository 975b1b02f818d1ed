"""Write whole weights from shards, and shards from whole weights, one tensor in memory at a time.

Both keep the form that the files hold, fused weights included, so that nothing is recomputed; only
a checkpoint of another naming is brought into PaddleNLP's on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from llm_convert.errors import ConvertError, QuantizationError
from llm_convert.files.pdparams import write_pdparams
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout, StoredTensor
from llm_convert.model import Model
from llm_convert.parallel.grid import STEMS, shard_name, suffix_of
from llm_convert.parallel.merging import NAMING
from llm_convert.parallel.splitting import Split, split_of, twin
from llm_convert.saving import write_config, write_shards
from llm_convert.shard_size import DEFAULT_SHARD, parse_size
from llm_kernels.families import ParameterKey

FORMATS = tuple(ending for _, ending in STEMS)
_DEGREES = ("tensor_parallel_degree", "tensor_parallel_rank", "pipeline_parallel_degree")
_LAST = ("final_norm", "project_out", "head")


class _Source(NamedTuple):
    """Stored tensors by name in the files, their types, and how to read them.

    `stored` is None for buffers that some classes save beside the weights.
    """

    layout: Layout
    stored: Mapping[str, StoredTensor | None]
    infos: Mapping[str, TensorInfo]
    read: Callable[[str], np.ndarray]


def merge_model(
    model: Model,
    folder: Path,
    *,
    max_shard_size: str | int = DEFAULT_SHARD,
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Write the whole weights of a model (opened from shards, say) into an existing folder.

    With them goes config.json, without the degrees of the parallel training.

    Args:
        max_shard_size: bytes, or a text like "4GB"; one tensor is never split.
        written: told the bytes written after each piece, for a progress bar.
    """
    source = _source(model)
    write_config(folder, _config(model.config))
    write_shards(folder, NAMING, source.infos, source.read, parse_size(max_shard_size), written)


def split_bytes(model: Model, *, tensor: int) -> int:
    """Bytes that `split_model` will write, for a progress bar. Raises as it does."""
    source = _source(model)
    return (
        sum(
            info.nbytes if split is None else info.nbytes // tensor
            for info, split in _planned(source, tensor)
        )
        * tensor
    )


def split_model(
    model: Model,
    folder: Path,
    *,
    tensor: int,
    pipeline: int = 1,
    ending: str = "pdparams",
    written: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Write the shards that `tensor` x `pipeline` ranks load, and config.json; the files' names.

    Args:
        pipeline: stages of whole layers, as even as they go; the first has the embedding, the last
            the head.
        ending: "pdparams" or "safetensors".
        written: told the bytes written after each piece, for a progress bar.

    Raises:
        ConvertError: heads, widths or layers that so many ranks cannot share, or a tied embedding,
            which is in no single stage.
        QuantizationError: packed weights, which cannot be split.
    """
    source = _source(model)
    _check_degrees(model, tensor, pipeline)
    stem = next(stem for stem, known in STEMS if known == ending)
    plan = dict(zip(source.stored, _planned(source, tensor), strict=True))
    names = []
    for stage in range(pipeline):
        members = [
            name
            for name, stored in source.stored.items()
            if _stage(stored, model.sizes.layers, pipeline) == stage
        ]
        for rank in range(tensor):
            suffix = suffix_of((rank, tensor), (stage, pipeline))
            names.append(shard_name(stem, ending, suffix))
            _write_rank(folder / names[-1], source, {n: plan[n] for n in members}, rank, written)
    write_config(folder, _config(model.config) | {"tensor_parallel_degree": tensor})
    return names


def _write_rank(
    path: Path,
    source: _Source,
    plan: Mapping[str, tuple[TensorInfo, Split | None]],
    rank: int,
    written: Callable[[int], None],
) -> None:
    def read(name: str) -> np.ndarray:
        whole, split = source.read(name), plan[name][1]
        return whole if split is None else split.share(whole, rank)

    infos = {
        name: info if split is None else info._replace(shape=split.share_shape(info.shape))
        for name, (info, split) in plan.items()
    }
    if path.suffix == ".safetensors":
        write_safetensors(path, infos, read, metadata={"format": "np"}, written=written)
    else:
        write_pdparams(path, infos, read, written=written)


def _source(model: Model) -> _Source:
    if model.quantization is not None:
        message = (
            f"{model.path} holds packed weights, which ranks cannot share. Take the unquantized "
            "checkpoint."
        )
        raise QuantizationError(message)
    if model.naming == NAMING:
        layout = model.layout
        stored: dict[str, StoredTensor | None] = dict.fromkeys(model.files)
        stored |= {layout.names[full]: tensor for full, tensor in layout.tensors.items()}
        if layout.twin is not None:
            stored[layout.twin] = twin(layout.twin, model.files.info(layout.twin).shape)
        infos = {name: model.files.info(name) for name in stored}
        return _Source(layout, stored, infos, _streamed(model.files.__getitem__, model))
    layout = Layout.of(model.spec, model.sizes, NAMING)
    infos = {
        name: TensorInfo(model.dtype(tensor.parts[0]), tensor.shape)
        for name, tensor in layout.tensors.items()
    }

    last: list[ParameterKey] = []

    def encoded(name: str) -> np.ndarray:
        while last:
            model.release(last.pop())
        last.extend(layout.tensors[name].parts)
        array = layout.encode(name, model.weight)
        assert isinstance(array, np.ndarray)
        return array.astype(infos[name].dtype, copy=False)

    return _Source(layout, layout.tensors, infos, encoded)


def _streamed(read: Callable[[str], np.ndarray], model: Model) -> Callable[[str], np.ndarray]:
    """`read`, with the memory of the tensor before released behind it."""
    last: list[str] = []

    def streamed(name: str) -> np.ndarray:
        if last:
            model.files.release(last.pop())
        last.append(name)
        return read(name)

    return streamed


def _planned(source: _Source, degree: int) -> list[tuple[TensorInfo, Split | None]]:
    layout = source.layout
    return [
        (
            source.infos[name],
            split_of(stored, layout.checkpoint, layout.sizes, degree) if stored else None,
        )
        for name, stored in source.stored.items()
    ]


def _check_degrees(model: Model, tensor: int, pipeline: int) -> None:
    if tensor * pipeline < 2:
        message = "Splitting needs a tensor or pipeline parallel degree of at least 2."
        raise ConvertError(message)
    if model.sizes.layers % pipeline:
        message = (
            f"{model.path} has {model.sizes.layers} layers, which {pipeline} pipeline stages "
            "cannot share evenly. Choose a --pipeline_parallel_degree that divides it."
        )
        raise ConvertError(message)
    if pipeline > 1 and model.sizes.tied:
        message = (
            f"{model.path} shares one table between its embedding and its head, which pipeline "
            "stages cannot. Split it by --tensor_parallel_degree only."
        )
        raise ConvertError(message)


def _stage(stored: StoredTensor | None, layers: int, stages: int) -> int:
    """Equal runs of layers, the embedding before the first, the head behind the last."""
    key = stored.parts[0] if stored else ParameterKey("embed")
    if key.layer is None:
        return stages - 1 if key.slot in _LAST else 0
    return key.layer * stages // layers


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _DEGREES}
