"""A linear with a low-rank addition (Hu et al. 2021, https://arxiv.org/abs/2106.09685).

The layer takes the place of the linear it wraps and keeps its `weight` and `bias` under their own
names, frozen; only `lora_A` and `lora_B` are trained. It knows nothing of models or files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn


@dataclass(frozen=True)
class LoraShape:
    """What all adapters of one model share.

    scaling is alpha / rank, or alpha / sqrt(rank) with rslora (Kalajdzievski 2023,
    https://arxiv.org/abs/2312.03732). b_rate multiplies the learning rate of B (LoRA+, Hayou et
    al. 2024, https://arxiv.org/abs/2402.12354).
    """

    rank: int
    alpha: float
    dropout: float = 0.0
    rslora: bool = False
    b_rate: float = 1.0

    @property
    def scaling(self) -> float:
        """The factor of A B."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class LoraLinear(nn.Layer):
    """y = x W + b + dropout(x) A B * scaling; x [..., K], W [K, N], A [K, r], B [r, N].

    A comes from outside, so that linears that their files fuse can share one; B is zero, so that
    the layer begins as the linear it wraps.
    """

    def __init__(self, linear: nn.Linear, shape: LoraShape, lora_a: paddle.Tensor) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias
        for frozen in (self.weight, self.bias):
            if frozen is not None:
                frozen.stop_gradient = True
        self.lora_A = lora_a
        self.lora_B = self.create_parameter(
            [shape.rank, linear.weight.shape[1]],
            attr=paddle.ParamAttr(learning_rate=shape.b_rate),
            default_initializer=nn.initializer.Constant(0.0),
        )
        self.scaling = shape.scaling
        self.dropout = shape.dropout

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[..., K] -> [..., N]; dropout only while training."""
        dropped = F.dropout(x, self.dropout, training=self.training) if self.dropout else x
        detour = paddle.matmul(paddle.matmul(dropped, self.lora_A), self.lora_B)
        return F.linear(x, self.weight, self.bias) + detour * self.scaling


def new_a(inputs: int, rank: int, generator: np.random.Generator) -> paddle.Tensor:
    """A parameter A [K, r], uniform in +-1/sqrt(K): Kaiming with slope sqrt(5), as PaddleNLP."""
    bound = 1 / math.sqrt(inputs)
    start = generator.uniform(-bound, bound, (inputs, rank)).astype(np.float32)
    return paddle.create_parameter(
        [inputs, rank], "float32", default_initializer=nn.initializer.Assign(start)
    )
