"""The optimizer's state in safetensors files, keyed by the model's own parameter names.

Paddle keys its state by automatic names (`linear_3.w_0`), which depend on how many layers the
process made before; a state written that way cannot be read back by another process with any
certainty. Keys here are `<parameter>/<accumulator>`, as in PaddleNLP's unified checkpoints, and the
arrays are whole, so that they can be read with another layout of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from llm_convert.files.folder import open_weights
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorFile, TensorInfo
from llm_train.errors import ResumeError

OPTIMIZER_FILE = "optimizer.safetensors"


def write_optimizer(optimizer: paddle.optimizer.Optimizer, model: nn.Layer, folder: Path) -> None:
    """Write every accumulator of every trained parameter."""
    write_state(read_state(optimizer, model), folder)


def read_state(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> dict[str, np.ndarray]:
    """Copies of every accumulator of every trained parameter, by the names of the file."""
    state = optimizer.state_dict()
    return {
        f"{name}/{key.removeprefix(parameter.name + '_')}": np.array(tensor.numpy())
        for name, parameter in model.named_parameters()
        for key, tensor in state.items()
        if key.startswith(parameter.name + "_") and isinstance(tensor, paddle.Tensor)
    }


def write_state(arrays: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write what `read_state` gave."""
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / OPTIMIZER_FILE, infos, arrays.__getitem__)


def read_optimizer(optimizer: paddle.optimizer.Optimizer, model: nn.Layer, folder: Path) -> None:
    """Set the state that was written. Raises ResumeError for another model's."""
    stored = open_state(folder)
    own = dict(model.named_parameters())
    state: dict[str, paddle.Tensor] = {}
    for key in stored:
        name, _, accumulator = key.partition("/")
        if name not in own:
            message = (
                f"{folder / OPTIMIZER_FILE} holds {key}, which this model does not have. Resume "
                "with the model and options that wrote the checkpoint."
            )
            raise ResumeError(message)
        state[f"{own[name].name}_{accumulator}"] = paddle.to_tensor(np.array(stored[key]))
    untouched = [
        name
        for name, parameter in own.items()
        if not parameter.stop_gradient and f"{parameter.name}_moment1_0" not in state
    ]
    if untouched:
        raise no_state(folder, untouched)
    optimizer.set_state_dict(state)


def open_state(folder: Path) -> TensorFile:
    """The arrays of a checkpoint's optimizer, however many files hold them."""
    return open_weights(folder, (OPTIMIZER_FILE,))


def no_state(folder: Path, missing: list[str]) -> ResumeError:
    """The error for a checkpoint that lacks the state of some parameters."""
    message = (
        f"{folder / OPTIMIZER_FILE} has no state of {missing[0]} ({len(missing)} such). "
        "Resume with the model and options that wrote the checkpoint."
    )
    return ResumeError(message)
