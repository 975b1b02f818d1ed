"""Put adapters into a Paddle decoder, and read and set what they learnt."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from llm_convert.layout import Layout
from llm_convert.lora import LoraAdapter
from llm_kernels.families import ParameterKey
from llm_kernels.paddle.decoder import Decoder
from llm_peft.errors import TargetError
from llm_peft.lora.layer import LoraLinear, LoraShape, new_a


def add_lora(
    decoder: Decoder, keys: Sequence[ParameterKey], shape: LoraShape, *, seed: int
) -> None:
    """Freeze `decoder` and give the linears that `keys` name an adapter each.

    Linears that PaddleNLP's files fuse share one A, as its own adapters of them do. The start of an
    A depends on `seed` and its linear alone, whatever else is adapted. Raises TargetError when the
    rank exceeds a linear's sizes.
    """
    for parameter in decoder.parameters():
        parameter.stop_gradient = True
    stored = Layout.of(decoder.spec, decoder.sizes, "paddlenlp").source
    shared: dict[str, paddle.Tensor] = {}
    for key in keys:
        parent, name = _parent(decoder, key)
        linear = getattr(parent, name)
        inputs, outputs = linear.weight.shape
        if shape.rank > min(inputs, outputs):
            message = (
                f"--lora_rank {shape.rank} exceeds {key.name}, a linear of {inputs} inputs and "
                f"{outputs} outputs; choose at most {min(inputs, outputs)}."
            )
            raise TargetError(message)
        file_name = stored[key]
        if file_name not in shared:
            generator = np.random.default_rng([seed, zlib.crc32(file_name.encode())])
            shared[file_name] = new_a(inputs, shape.rank, generator)
        setattr(parent, name, LoraLinear(linear, shape, shared[file_name]))


def lora_layers(decoder: Decoder) -> Iterator[tuple[ParameterKey, LoraLinear]]:
    """Every adapted linear with the key of its weight, in the order of the model."""
    for name, layer in decoder.named_sublayers():
        if isinstance(layer, LoraLinear):
            yield ParameterKey.parse(f"{name}.weight"), layer


def read_adapter(decoder: Decoder, shape: LoraShape) -> LoraAdapter:
    """What the adapters hold now."""
    pairs = {
        key: (layer.lora_A.numpy(), layer.lora_B.numpy()) for key, layer in lora_layers(decoder)
    }
    config = {"rslora": shape.rslora}
    return LoraAdapter(shape.rank, shape.alpha, shape.scaling, pairs, config=config)


def set_adapter(decoder: Decoder, adapter: LoraAdapter) -> None:
    """Let the adapters hold what `adapter` does.

    Raises TargetError when it adapts other linears, with another rank or scaling, or holds whole
    parameters.
    """
    own = dict(lora_layers(decoder))
    wrong = _differences(own, adapter)
    if wrong:
        message = (
            f"The adapter does not fit this run: {'; '.join(wrong[:5])}. Use the rank, alpha and "
            "target modules that it was trained with."
        )
        raise TargetError(message)
    for key, layer in own.items():
        a, b = adapter.pairs[key]
        layer.lora_A.set_value(paddle.to_tensor(np.ascontiguousarray(a, np.float32)))
        layer.lora_B.set_value(paddle.to_tensor(np.ascontiguousarray(b, np.float32)))


def _differences(own: Mapping[ParameterKey, LoraLinear], adapter: LoraAdapter) -> list[str]:
    wrong = [f"it trained {key.name} in full" for key in adapter.replaced]
    wrong += [f"it lacks {key.name}" for key in own if key not in adapter.pairs]
    # A file that fuses linears has zeros for those of them that were not adapted.
    others = [key for key in adapter.pairs if key not in own and adapter.pairs[key][1].any()]
    wrong += [f"it also adapts {key.name}" for key in others]
    for key, layer in own.items():
        if key not in adapter.pairs:
            continue
        rank = adapter.pairs[key][0].shape[1]
        if rank != layer.lora_A.shape[1]:
            wrong.append(f"the rank of {key.name} is {rank}, not {layer.lora_A.shape[1]}")
        if not np.isclose(adapter.scaling_of(key), layer.scaling):
            wrong.append(f"it scales by {adapter.scaling_of(key):g}, not by {layer.scaling:g}")
    return wrong


def _parent(decoder: Decoder, key: ParameterKey) -> tuple[nn.Layer, str]:
    """The layer that holds the linear of `key`, and the linear's name there."""
    *path, name = key.name.removesuffix(".weight").split(".")
    parent: nn.Layer = decoder
    for part in path:
        parent = getattr(parent, part)
    return parent, name
