"""The optimizer's state of several processes: whole arrays in files of each, and back.

The keys and arrays are those of `optimizer_state`, so either can read what the other wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from llm_convert.files.folder import INDEX_SUFFIX
from llm_convert.files.tensor_file import TensorInfo
from llm_kernels.families import ParameterKey, parameters
from llm_train.loop.optimizer_state import OPTIMIZER_FILE, no_state, open_state
from llm_train.model.parallel_files import SharedWeights, write_index
from llm_train.model.shares import gathered, held_parameters, share_of, turned
from llm_train.parallel.optimizer import ParallelOptimizer
from llm_train.parallel.sliced_optimizer import SlicedOptimizer
from llm_train.parallel.turns import shard_name

SharedOptimizer = ParallelOptimizer | SlicedOptimizer
PREFIX = "decoder."
"""Begins the names of parameters in the file, as one process has them."""
MOMENTS = ("moment1_0", "moment2_0")
POWERS = ("beta1_pow_acc_0", "beta2_pow_acc_0")


def share_state(optimizer: Any, files: Any) -> SharedState | None:
    """How the state of `optimizer` is kept with the model of `files`; None for one process."""
    weights = getattr(files, "shared", None)
    if not isinstance(optimizer, ParallelOptimizer | SlicedOptimizer) or weights is None:
        return None
    if isinstance(optimizer, SlicedOptimizer):
        weights.slices = {id(cut.whole): cut for cut in optimizer.model.slices.values()}
    return SharedState(optimizer, weights)


class SharedState:
    """Writes and reads the state of `optimizer` for the parameters of `weights`."""

    def __init__(self, optimizer: SharedOptimizer, weights: SharedWeights) -> None:
        self._optimizer, self._weights = optimizer, weights
        model = weights.model
        self._shapes = parameters(model.spec, model.sizes)
        trained = {id(p): name for name, p in model.named_parameters() if not p.stop_gradient}
        self._names = {
            key: trained[id(parameter)]
            for key, parameter in held_parameters(model)
            if id(parameter) in trained
        }

    def write(self, folder: Path) -> None:
        """Write this process's part; all processes call it."""
        state = self._optimizer.state_dict()
        infos: dict[str, TensorInfo] = {}
        layers: dict[str, int | None] = {}
        places: dict[str, tuple[ParameterKey, str]] = {}
        for key in self._weights.parameters:
            if key not in self._names:
                continue
            if not self._weights.turns.in_circle(key.layer, self._owner(key)):
                continue
            for accumulator in (*MOMENTS, *POWERS):
                shape = self._whole_shape(key) if accumulator in MOMENTS else (1,)
                name = f"{PREFIX}{key.name}/{accumulator}"
                infos[name] = TensorInfo(np.dtype(np.float32), shape)
                layers[name], places[name] = key.layer, (key, accumulator)
        count = self._weights.parallel.layout.processes
        weight_map = self._weights.turns.write(
            lambda rank: folder / shard_name("optimizer", rank, count),
            infos,
            layers,
            lambda name: self._whole(state, *places[name]),
        )
        if self._weights.parallel.leads:
            write_index(folder / (OPTIMIZER_FILE + INDEX_SUFFIX), weight_map, 0)

    def read(self, folder: Path) -> None:
        """Set this process's part. Raises ResumeError where some is missing."""
        stored = open_state(folder)
        state: dict[str, paddle.Tensor] = {}
        missing = []
        for key, parameter in held_parameters(self._weights.model):
            if key not in self._names or not self._keeps(key):
                continue
            stem = f"{PREFIX}{key.name}/"
            if stem + MOMENTS[0] not in stored:
                missing.append(key.name)
                continue
            name = self._kept(key).name
            for accumulator in MOMENTS:
                array = np.array(stored[stem + accumulator], np.float32)
                own = self._own(key, parameter, array)
                state[f"{name}_{accumulator}"] = paddle.to_tensor(own)
            for accumulator in POWERS:
                array = np.array(stored[stem + accumulator], np.float32)
                state[f"{name}_{accumulator}"] = paddle.to_tensor(array)
        if missing:
            raise no_state(folder, missing)
        self._optimizer.set_state_dict(state)

    def _owner(self, key: ParameterKey) -> int | None:
        """The rank of the sharding group that alone has the state; None: all have (a part)."""
        if isinstance(self._optimizer, SlicedOptimizer):
            return None
        return self._optimizer.owners[self._names[key]]

    def _keeps(self, key: ParameterKey) -> bool:
        owner = self._owner(key)
        return owner is None or owner == self._weights.parallel.layout.sharding_rank

    def _kept(self, key: ParameterKey) -> Any:
        """What the inner optimizer steps on: the parameter, or this rank's slice of it."""
        name = self._names[key]
        if isinstance(self._optimizer, SlicedOptimizer):
            return self._optimizer.trained[name].part
        return self._optimizer.owned[name]

    def _whole(self, state: Mapping[str, Any], key: ParameterKey, accumulator: str) -> np.ndarray:
        array: paddle.Tensor = state[f"{self._kept(key).name}_{accumulator}"]
        if accumulator in POWERS:
            return array.numpy().reshape(1)
        if isinstance(self._optimizer, SlicedOptimizer):
            return self._weights.unsliced(self._optimizer.trained[self._names[key]], array).numpy()
        parameter = self._weights.parameters[key]
        return turned(key, gathered(key, array, parameter, self._weights.parallel.tensor))

    def _own(self, key: ParameterKey, parameter: Any, whole: np.ndarray) -> np.ndarray:
        if isinstance(self._optimizer, SlicedOptimizer):
            cut = self._optimizer.trained[self._names[key]]
            return self._weights.sliced(whole, cut)
        model = self._weights.model
        canonical = turned(key, whole)
        own = share_of(key, canonical, parameter, model.sizes, self._weights.parallel)
        return turned(key, own)

    def _whole_shape(self, key: ParameterKey) -> tuple[int, ...]:
        return turned(key, np.empty(self._shapes[key], np.bool_)).shape
