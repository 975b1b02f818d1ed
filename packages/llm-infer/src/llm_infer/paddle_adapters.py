"""LoRA beside the linears of the Paddle decoder, chosen for each sequence; imports paddle.

A hook adds scale * (x A) B to what a linear gives (Hu et al. 2021, arXiv:2106.09685), so that the
weights stay those of the base and any number of adapters share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import paddle
from paddle import nn

from llm_convert.lora import LoraAdapter
from llm_infer.native_adapters import check_beside
from llm_kernels.families import ParameterKey
from llm_kernels.paddle.decoder import Decoder

Pairs = Mapping[int, tuple[paddle.Tensor, paddle.Tensor]]


class PaddleAdapters:
    """The adapters of one decoder; `active` is the number of the one that computes, -1 for none."""

    def __init__(self, decoder: Decoder, adapters: Sequence[LoraAdapter]) -> None:
        self.active = -1
        for number, adapter in enumerate(adapters):
            check_beside(adapter, number)
        for name, layer in decoder.named_sublayers():
            if isinstance(layer, nn.Linear):
                self._hook(layer, ParameterKey.parse(f"{name}.weight"), adapters)

    def _hook(self, layer: nn.Linear, key: ParameterKey, adapters: Sequence[LoraAdapter]) -> None:
        pairs = {
            number: _tensors(adapter, key)
            for number, adapter in enumerate(adapters)
            if key in adapter.pairs
        }
        if not pairs:
            return

        def add(
            _: nn.Layer, inputs: tuple[paddle.Tensor, ...], output: paddle.Tensor
        ) -> paddle.Tensor:
            if self.active not in pairs:
                return output
            a, b = pairs[self.active]
            return output + paddle.matmul(paddle.matmul(inputs[0], a), b)

        layer.register_forward_post_hook(add)


def _tensors(adapter: LoraAdapter, key: ParameterKey) -> tuple[paddle.Tensor, paddle.Tensor]:
    """A [in, r] and scaled B [r, out], float32."""
    a, b = (np.asarray(matrix, np.float32) for matrix in adapter.pairs[key])
    scaled = b * np.float32(adapter.scaling_of(key))
    return paddle.to_tensor(np.ascontiguousarray(a)), paddle.to_tensor(scaled)
