"""RMS norm and layer norm, written so that Paddle runs them on all cores of a CPU.

Paddle's reductions and broadcasts run on one core; its matrix products and same-shape products run
on all. So a mean is a product with a column of 1/E, and a broadcast is a product with a row.
"""

from __future__ import annotations

import paddle
from paddle import nn

from llm_kernels.paddle.autocast import exact


class RmsNorm(nn.Layer):
    """x / sqrt(mean(x^2) + eps) * (offset + weight) (Zhang & Sennrich 2019, arXiv:1910.07467).

    `offset` is 1 where the family keeps what a norm's factors differ from one by, else 0.
    """

    def __init__(self, width: int, eps: float, offset: float = 0.0) -> None:
        super().__init__()
        self.eps, self.offset = eps, offset
        self.weight = self.create_parameter(
            [width], default_initializer=nn.initializer.Constant(1.0 - offset)
        )

    def forward(self, hidden: paddle.Tensor) -> paddle.Tensor:
        """[..., E] -> [..., E], computed in float32."""
        with exact():
            rows = hidden.reshape([-1, hidden.shape[-1]])
            weight = self.weight.astype("float32") + self.offset if self.offset else self.weight
            scaled = _scale_rows(rows, weight, self.eps).reshape(hidden.shape)
            return scaled.astype(hidden.dtype)


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__(width, epsilon=eps)


def _scale_rows(rows: paddle.Tensor, weight: paddle.Tensor, eps: float) -> paddle.Tensor:
    rows, weight = rows.astype("float32"), weight.astype("float32")
    if paddle.in_dynamic_mode() and rows.place.is_gpu_place():
        # A GPU reduces and broadcasts well, and rounds the inputs of products (TF32).
        return rows * paddle.rsqrt((rows * rows).mean(axis=-1, keepdim=True) + eps) * weight
    width = rows.shape[-1]
    mean = paddle.full([width, 1], 1.0 / width)
    inverse = paddle.rsqrt(paddle.matmul(rows * rows, mean) + eps)
    return rows * paddle.matmul(inverse, weight.reshape([1, width]))
