"""A model spread over processes to a folder of whole tensors, written by all of them, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from llm_cli.outputs import written_file
from llm_convert.config import config_for
from llm_convert.files.folder import INDEX_SUFFIX
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Layout as FileLayout
from llm_convert.model import open_model
from llm_convert.saving import write_config
from llm_kernels.families import ParameterKey
from llm_train.model.naming import naming_of
from llm_train.model.shares import gathered, held_parameters, share_of, turned
from llm_train.model.spec_model import SpecForCausalLM
from llm_train.parallel.collectives import all_gather
from llm_train.parallel.groups import Parallel
from llm_train.parallel.slices import Slice
from llm_train.parallel.turns import Turns, index_of, shard_name

_FORMAT = {"format": "np"}


class SharedWeights:
    """The weights of this process, whole where asked for, and set from whole ones.

    With sharding stage 3 the trainer tells of the `slices` that stand for the parameters.
    """

    def __init__(self, model: SpecForCausalLM, parallel: Parallel) -> None:
        self.model, self.parallel = model, parallel
        self.slices: Mapping[int, Slice] = {}
        held = [(key, p) for key, p in held_parameters(model) if not _is_copy(p, parallel)]
        self.parameters = dict(held)
        self.turns = Turns(parallel)

    def whole(self, key: ParameterKey) -> np.ndarray:
        """A whole canonical array [out, in]; the circle's members ask together."""
        parameter = self.parameters[key]
        cut = self.slices.get(id(parameter))
        own = parameter if cut is None else self.unsliced(cut, cut.part)
        return gathered(key, own.detach(), parameter, self.parallel.tensor)

    def unsliced(self, cut: Slice, part: paddle.Tensor) -> paddle.Tensor:
        """The whole of what the sharding group has slices of."""
        flat = all_gather(part.detach(), self.parallel.sharding)
        return flat[: cut.size].reshape(cut.shape)

    def set(self, folder: Path) -> None:
        """Set every parameter from the folder of a model."""
        get = open_model(folder).dense
        for key, parameter in held_parameters(self.model):
            own = share_of(key, get(key), parameter, self.model.sizes, self.parallel)
            array = turned(key, own)
            cut = self.slices.get(id(parameter))
            if cut is None:
                parameter.set_value(paddle.to_tensor(array))
            else:
                cut.part.set_value(self.sliced(array, cut))

    def sliced(self, array: np.ndarray, cut: Slice) -> np.ndarray:
        """This rank's slice of a whole array."""
        group, width = self.parallel.sharding, int(cut.part.size)
        flat = np.zeros(width * group.nranks, np.float32)
        flat[: array.size] = array.reshape(-1)
        return flat[group.rank * width : (group.rank + 1) * width]


def write_shared_model(weights: SharedWeights, folder: Path) -> None:
    """config.json, whole tensors in a file of each process, and their index; all call it."""
    model, parallel = weights.model, weights.parallel
    naming = naming_of(model.spec, model.sizes)
    files = FileLayout.of(model.spec, model.sizes, naming)
    infos, layers = {}, {}
    size = 0
    for name, tensor in files.tensors.items():
        info = TensorInfo(np.dtype(np.float32), tensor.shape)
        size += info.nbytes
        layer = tensor.parts[0].layer
        if tensor.parts[0] in weights.parameters and weights.turns.in_circle(layer):
            infos[name], layers[name] = info, layer

    def read(name: str) -> np.ndarray:
        array: Any = files.encode(name, weights.whole)
        return np.ascontiguousarray(array, np.float32)

    count = parallel.layout.processes
    weight_map = weights.turns.write(
        lambda rank: folder / shard_name("model", rank, count), infos, layers, read, _FORMAT
    )
    if parallel.leads:
        types = {
            name: TensorInfo(np.dtype(np.float32), tensor.shape)
            for name, tensor in files.tensors.items()
        }
        config = config_for(model.source, model.spec, model.sizes, naming, types)
        write_config(folder, config)
        write_index(folder / ("model.safetensors" + INDEX_SUFFIX), weight_map, size)


def write_index(path: Path, weight_map: Mapping[str, str], size: int) -> None:
    """Write the index of files that several processes have written."""
    with written_file(path) as stream:
        stream.write((json.dumps(index_of(weight_map, size), indent=2) + "\n").encode())


def _is_copy(parameter: Any, parallel: Parallel) -> bool:
    """Whether another stage of the pipeline writes it."""
    return bool(getattr(parameter, "tied", False)) and not parallel.first_stage
