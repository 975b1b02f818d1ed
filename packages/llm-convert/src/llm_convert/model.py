"""A checkpoint folder opened as a model: its family, its sizes, and canonical weights on demand.

`open_model` reads config.json and the tables of contents of the weight files, and compares every
name and shape with what the family needs before any weight is read. `Model.weight` then decodes
one canonical parameter at a time from the memory map. It knows nothing of computing: that is
llm-kernels'; saving is in `saving`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from llm_convert.config import lacks_prefix, repeated_head
from llm_convert.errors import ConvertError, TensorMismatchError
from llm_convert.files.folder import find_weights, open_weights
from llm_convert.files.json_file import read_json
from llm_convert.files.tensor_file import TensorFile
from llm_convert.layout import Layout, Weight, layout_of_files
from llm_convert.parallel.grid import find_shards
from llm_convert.parallel.merging import open_shards
from llm_convert.quantization import FIELD as QUANTIZATION_FIELD
from llm_convert.quantization import Quantization, QuantizedTensors
from llm_convert.quantization.dense import dense
from llm_convert.saving import copy_companions, save_model
from llm_kernels.errors import KernelsError
from llm_kernels.families import (
    FamilySpec,
    ParameterKey,
    Sizes,
    contradiction,
    detect,
    parameters,
    read_sizes,
)

__all__ = ["CONFIG_FILE", "Model", "copy_companions", "open_model", "read_config", "save_model"]

logger = logging.getLogger(__name__)
CONFIG_FILE = "config.json"
_EMBED, _HEAD = ParameterKey("embed"), ParameterKey("head")


class Model:
    """A checkpoint whose tensors have been checked against its config.json.

    Attributes:
        path: the folder.
        config: its config.json.
        spec, sizes: the family and the sizes (llm_kernels.families).
        naming: "hf" or "paddlenlp", found from the tensors' names.
        quantization: how which parameters are quantized; None for a dense checkpoint.
        without_prefix: the hub's names lack, or lacked, their optional prefix.
        repeats_head: the hub's files hold, or held, a tied head beside the embedding.
        parameters: canonical key -> shape ([out, in] for linear weights).
        files, layout: the tensors as they are stored, and what each of them holds.
    """

    def __init__(
        self, path: Path, config: dict[str, Any], spec: FamilySpec, sizes: Sizes, files: TensorFile
    ) -> None:
        self.path = path
        self.config = config
        self.spec = spec
        self.sizes = sizes
        self.parameters: Mapping[ParameterKey, tuple[int, ...]] = parameters(spec, sizes)
        self.files = files
        self._tensors = QuantizedTensors(files, config.get(QUANTIZATION_FIELD))
        self.layout = _layout(spec, sizes, files, self._tensors)
        self.naming = self.layout.naming
        self.quantization = self._quantization()
        self.without_prefix = lacks_prefix(config) or self._lacks_prefix()
        twice = self.naming == "hf" and self.layout.twin is not None
        self.repeats_head = repeated_head(config) or twice

    def keys(self) -> Set[ParameterKey]:
        """The canonical parameters of this checkpoint."""
        return self.parameters.keys()

    def dtype(self, key: ParameterKey) -> np.dtype:
        """Element type that a parameter is stored in; of a quantized one, that of its scales."""
        return self._tensors.dtype(self._stored_name(key))

    def weight(self, key: ParameterKey) -> Weight:
        """One canonical parameter, read-only: an array in its stored type, or a quantized weight.

        A view of the memory map wherever the layout allows. Raises KeyError for a parameter that
        this model does not have.
        """
        return self.layout.decode(key, self._tensors)

    def dense(self, key: ParameterKey, dtype: DTypeLike = np.float32) -> np.ndarray:
        """One canonical parameter, dequantized if need be, cast to `dtype`. Raises KeyError."""
        return dense(self.weight(key)).astype(dtype, copy=False)

    def release(self, key: ParameterKey) -> None:
        """Let the system drop the memory of a parameter; it can be read again at any time."""
        self._tensors.release(self._stored_name(key))

    def _stored_name(self, key: ParameterKey) -> str:
        source = self.layout.source
        # Some namings store no head where the embedding serves as one.
        shared = key == _HEAD and key in self.parameters and key not in source
        return self.layout.names[source[_EMBED if shared else key]]

    def _lacks_prefix(self) -> bool:
        named = self.layout.names.items()
        return self.naming == "hf" and any(full != name for full, name in named)

    def _quantization(self) -> Quantization | None:
        schemes = {
            key: scheme
            for key in self.parameters
            if (scheme := self._tensors.scheme(self._stored_name(key))) is not None
        }
        return Quantization(schemes) if schemes else None


def _layout(spec: FamilySpec, sizes: Sizes, files: TensorFile, tensors: QuantizedTensors) -> Layout:
    try:
        layout = layout_of_files(spec, sizes, tensors.shapes)
        if layout.twin is not None and layout.twin in files:
            layout.check_tied_head(files)
            files.release(layout.twin)
    except TensorMismatchError as error:
        message = f"{files.path}: {error}"
        raise TensorMismatchError(message) from error
    return layout


def open_model(path: str | Path) -> Model:
    """Open a checkpoint folder in Hugging Face's or PaddleNLP's layout.

    Args:
        path: folder with config.json and safetensors, .bin or .pdparams weights, whole or in the
            shards of tensor and pipeline parallel training.

    Raises:
        ConvertError: the folder or its config.json is missing.
        FileFormatError: a weight file or shard is missing, truncated or malformed.
        TensorMismatchError: missing, unknown and wrongly shaped tensors, all listed at once.
        llm_kernels.errors.UnknownFamilyError, ConfigError: config.json describes no supported
            model, or lacks a field.
    """
    folder = Path(path)
    config = read_config(folder)
    try:
        spec = detect(config)
        sizes = read_sizes(spec, config)
    except KernelsError as error:
        message = f"{folder}: {error}"
        raise type(error)(message) from error
    if odd := contradiction(config):
        logger.warning("%s: %s", folder / CONFIG_FILE, odd)
    return Model(folder, config, spec, sizes, _weights(folder, config, spec, sizes))


def _weights(folder: Path, config: Mapping[str, Any], spec: FamilySpec, sizes: Sizes) -> TensorFile:
    """The whole weights of a folder, or the shards of its ranks put together."""
    grid = find_shards(folder) if find_weights(folder) is None else None
    if grid is None:
        return open_weights(folder)
    degree = config.get("tensor_parallel_degree")
    return open_shards(folder, grid, spec, sizes, degree=degree)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint folder.

    Raises:
        ConvertError: the folder is missing, is a file, or has no config.json.
        FileFormatError: config.json is not a JSON object.
    """
    if not folder.exists():
        message = (
            f"The model folder {folder} does not exist. Check the path; a model of a hub is named "
            "org/name."
        )
        raise ConvertError(message)
    if not folder.is_dir():
        message = f"{folder} is a file. Name the folder that holds config.json and the weights."
        raise ConvertError(message)
    if not (folder / CONFIG_FILE).is_file():
        weights = find_weights(folder)
        holds = f"it holds {weights.path.name}" if weights else "nor does it hold weights"
        message = (
            f"{folder} has no {CONFIG_FILE} ({holds}). Copy the model's {CONFIG_FILE} there, or "
            "name another folder."
        )
        raise ConvertError(message)
    return read_json(folder / CONFIG_FILE)
