"""Write a model folder: config.json and safetensors shards, one tensor in memory at a time.

Nothing here knows where the parameters come from: a conversion, a merge and a training run all
hand over a function from canonical key to array.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from llm_cli.outputs import written_file
from llm_convert.config import config_for
from llm_convert.errors import ConvertError, QuantizationError
from llm_convert.files.dtypes import floating
from llm_convert.files.folder import INDEX_SUFFIX
from llm_convert.files.narrowing import narrowed
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout, StoredTensor, Weight
from llm_convert.names import checkpoint
from llm_convert.quantization import Quantization, Scheme, stored_array, to_config
from llm_convert.quantization.scheme import SHAPE, stored_infos
from llm_convert.shard_size import DEFAULT_SHARD, parse_size
from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Sizes

Naming: TypeAlias = Literal["hf", "paddlenlp"]
# What each ecosystem's loader demands of `__metadata__`; PaddleNLP calls its own files NumPy's.
_FORMATS: Mapping[str, str] = {"hf": "pt", "paddlenlp": "np"}
# Files of a checkpoint that no weight conversion changes, as patterns.
COMPANIONS = (
    "generation_config.json",
    "preprocessor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "template_lock.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.tiktoken",
    "*.model",
    "sentencepiece*",
    "spiece*",
)


def save_model(
    folder: str | Path,
    *,
    config: Mapping[str, Any],
    spec: FamilySpec,
    sizes: Sizes,
    parameters: Callable[[ParameterKey], Weight],
    naming: Naming,
    dtype: str | Mapping[ParameterKey, np.dtype] = "float32",
    max_shard_size: str | int = DEFAULT_SHARD,
    quantization: Quantization | None = None,
    without_prefix: bool = False,
    repeats_head: bool = False,
    written: Callable[[int], None] = lambda _: None,
) -> None:
    """Write config.json and weights into an existing folder (use `written_folder` around it).

    Args:
        config: the model's configuration; translated to what `naming`'s tools read.
        parameters: canonical key -> array, or a quantized weight where `quantization` says so.
            Asked in file order; for a quantized weight once for its codes and once for its scales,
            so the answer should be cheap to repeat.
        naming: "hf" (Hugging Face names, linears [out, in]) or "paddlenlp" (its names, [in, out]).
        dtype: "float32", "float16" or "bfloat16" for all floating parameters (see `written_dtype`),
            or the type of each.
            Scales of quantized weights are stored in it too.
        quantization: which parameters are quantized and how; written as compressed-tensors, all in
            one format.
        without_prefix: leave out the prefix that the hub's names of this family may lack; for
            PaddleNLP's names it is only noted in config.json, for the way back.
        repeats_head: write a tied head beside the embedding, under the hub's names; for PaddleNLP's
            it is only noted, too.
        max_shard_size: bytes, or a text like "4GB"; one tensor is never split.
        written: told the bytes written after each piece, for a progress bar.

    Raises:
        ConvertError: the family has no such naming, or max_shard_size is no size.
        QuantizationError: a weight is not held as `quantization` says, or the naming stores
            linears by input rows, which quantized files cannot.
    """
    folder = Path(folder)
    limit = parse_size(max_shard_size)
    form = checkpoint(spec, naming)
    if repeats_head and naming == "hf" and form.head:
        form = replace(form, head_repeated=True)
    layout = Layout.of(spec, sizes, naming, form)
    prefix = layout.checkpoint.optional_prefix if without_prefix and naming == "hf" else ""
    plan = _Plan(layout, parameters, dtype, quantization, prefix)
    translated = config_for(
        config,
        spec,
        sizes,
        naming,
        plan.infos,
        quantization=to_config(quantization, layout.tensors) if quantization else None,
        without_prefix=without_prefix,
        repeats_head=repeats_head,
    )
    write_config(folder, translated)
    write_shards(folder, naming, plan.infos, plan.read, limit, written)


class _Part(NamedTuple):
    """What a tensor of a file holds: a stored tensor, or one part of a quantized one."""

    tensor: StoredTensor
    scheme: Scheme | None
    suffix: str


class _Plan:
    """What is written: type and shape of every tensor, known before any is read."""

    def __init__(
        self,
        layout: Layout,
        parameters: Callable[[ParameterKey], Weight],
        dtype: str | Mapping[ParameterKey, np.dtype],
        quantization: Quantization | None,
        prefix: str,
    ) -> None:
        self._layout = layout
        self._parameters = parameters
        self._parts: dict[str, _Part] = {}
        self.infos: dict[str, TensorInfo] = {}
        type_of = _target_types(layout.tensors, dtype)
        for full, tensor in layout.tensors.items():
            name = full.removeprefix(prefix)
            scheme = quantization.of(tensor) if quantization else None
            infos = {name: TensorInfo(type_of(full), tensor.shape)}
            if scheme is not None:
                infos = stored_infos(name, tensor.shape, scheme, type_of(full))
            self.infos |= infos
            for file_name in infos:
                self._parts[file_name] = _Part(tensor, scheme, file_name.removeprefix(name))

    def read(self, name: str) -> np.ndarray:
        """The array to store under a name of `infos`."""
        info, (tensor, scheme, suffix) = self.infos[name], self._parts[name]
        if scheme is not None and suffix == SHAPE:
            return np.array(tensor.shape, info.dtype)
        weight = self._layout.encode(tensor.name, self._parameters)
        if scheme is not None:
            weight = stored_array(suffix, weight, tensor.name, scheme)
        elif not isinstance(weight, np.ndarray):
            message = f"{name} is quantized, but was to be written dense. Dequantize it first."
            raise QuantizationError(message)
        return narrowed(name, weight, info.dtype)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json."""
    with written_file(folder / "config.json") as stream:
        stream.write((json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())


def written_dtype(key: ParameterKey, dtype: str) -> np.dtype:
    """The type of a parameter of a model that is written in `dtype`.

    It is float32 for what a layer adds to the scores of its experts (DeepSeek-V3): numbers far
    larger than the differences that decide, which a narrower type rounds away. Raises ConvertError
    for another name than those of `floating`.
    """
    slot = SLOTS[key.slot]
    added = slot.kind == "table" and slot.scope == "layer"
    return floating("float32" if added else dtype)


def _target_types(
    stored: Mapping[str, StoredTensor], dtype: str | Mapping[ParameterKey, np.dtype]
) -> Callable[[str], np.dtype]:
    if isinstance(dtype, str):
        dtype = {
            key: written_dtype(key, dtype) for tensor in stored.values() for key in tensor.parts
        }

    def stored_type(name: str) -> np.dtype:
        types = {dtype[key] for key in stored[name].parts}
        if len(types) > 1:
            message = (
                f"{name} joins parameters of different types ({', '.join(map(str, types))}). "
                "Choose one with --dtype."
            )
            raise ConvertError(message)
        return types.pop()

    return stored_type


def write_shards(
    folder: Path,
    naming: Naming,
    infos: Mapping[str, TensorInfo],
    read: Callable[[str], np.ndarray],
    limit: int,
    written: Callable[[int], None],
) -> None:
    """Write model.safetensors, or files of at most `limit` bytes and then their index."""
    shards = plan_shards(infos, limit)
    metadata = {"format": _FORMATS[naming]}
    if len(shards) == 1:
        write_safetensors(
            folder / "model.safetensors", infos, read, metadata=metadata, written=written
        )
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        weight_map |= dict.fromkeys(names, file)
        part = {name: infos[name] for name in names}
        write_safetensors(folder / file, part, read, metadata=metadata, written=written)
    index = {
        "metadata": {"total_size": sum(info.nbytes for info in infos.values())},
        "weight_map": weight_map,
    }
    with written_file(folder / ("model.safetensors" + INDEX_SUFFIX)) as stream:
        stream.write((json.dumps(index, indent=2) + "\n").encode())


def plan_shards(infos: Mapping[str, TensorInfo], limit: int) -> list[list[str]]:
    """Split tensors, in order, into lists of at most `limit` bytes (or one larger tensor)."""
    shards: list[list[str]] = [[]]
    size = 0
    for name, info in infos.items():
        if shards[-1] and size + info.nbytes > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += info.nbytes
    return shards


def copy_companions(source: str | Path, folder: str | Path) -> list[str]:
    """Copy tokenizer files, generation_config.json and chat templates; the names copied."""
    found = {file for pattern in COMPANIONS for file in Path(source).glob(pattern)}
    files = sorted(file for file in found if file.is_file())
    for file in files:
        shutil.copyfile(file, Path(folder) / file.name)
    return [file.name for file in files]
