"""The optimizer's state in a safetensors file, keyed by the model's own parameter names.

Paddle keys its state by automatic names (`linear_3.w_0`), which depend on how many layers the
process made before; a state written that way cannot be read back by another process with any
certainty. Keys here are `<parameter>/<accumulator>`, as in PaddleNLP's unified checkpoints.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_train.errors import ResumeError

OPTIMIZER_FILE = "optimizer.safetensors"


def write_optimizer(optimizer: paddle.optimizer.Optimizer, model: nn.Layer, folder: Path) -> None:
    """Write every accumulator of every trained parameter."""
    state = optimizer.state_dict()
    arrays = {
        f"{name}/{key.removeprefix(parameter.name + '_')}": tensor.numpy()
        for name, parameter in model.named_parameters()
        for key, tensor in state.items()
        if key.startswith(parameter.name + "_") and isinstance(tensor, paddle.Tensor)
    }
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(folder / OPTIMIZER_FILE, infos, arrays.__getitem__)


def read_optimizer(optimizer: paddle.optimizer.Optimizer, model: nn.Layer, folder: Path) -> None:
    """Set the state that `write_optimizer` wrote. Raises ResumeError for another model's."""
    stored = open_safetensors(folder / OPTIMIZER_FILE)
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
        message = (
            f"{folder / OPTIMIZER_FILE} has no state of {untouched[0]} ({len(untouched)} such). "
            "Resume with the model and options that wrote the checkpoint."
        )
        raise ResumeError(message)
    optimizer.set_state_dict(state)
