"""Lets Paddle's autocast work on a CPU, where it has no 16-bit products: they are emulated.

An emulated product rounds its inputs to 16 bits, multiplies in float32 and rounds the result, as a
GPU does. Everything else about an autocast (which operation casts, what comes out, which types go
backward) is Paddle's own, except that operations without 16-bit kernels here stay in float32.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import paddle
import paddle.nn.functional as F
from paddle.base import framework

from llm_train.loop import run
from llm_train.loop.precision import choose_precision

products: dict[str, int] = {"float32": 0, "bfloat16": 0, "float16": 0, "packed": 0}
"""Products so far, by the type that they were in; `packed`: attention that got ends of samples."""
_plain = paddle.matmul
_NO_KERNELS = {
    "clip", "concat", "gelu", "index_add", "relu", "scatter", "sigmoid", "swiglu",
    "take_along_axis", "tanh", "where",
}  # fmt: skip


class _Tracer:
    """Paddle's tracer on a place that an autocast takes for a GPU."""

    def __init__(self, real: Any) -> None:
        object.__setattr__(self, "_real", real)

    @property
    def _expected_place(self) -> Any:
        yes, no = (lambda: True), (lambda: False)
        return SimpleNamespace(is_gpu_place=yes, is_xpu_place=no, is_custom_place=no)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._real, name, value)


def pretend() -> None:
    """From here on this process takes its CPU for a device with 16-bit products."""
    if run.choose_precision is not choose_precision:
        return
    autocast = sys.modules["paddle.amp.auto_cast"]
    tracer, black_list = autocast._dygraph_tracer, autocast.black_list
    autocast._dygraph_tracer = lambda: _Tracer(tracer())
    autocast._is_gpu_bfloat16_supported = lambda: True
    autocast._is_gpu_float16_supported = lambda: True
    autocast.black_list = lambda: {
        dtype: {level: names | _NO_KERNELS for level, names in levels.items()}
        for dtype, levels in black_list().items()
    }
    paddle.device.cuda.get_device_capability = lambda: (8, 0)
    paddle.amp.is_bfloat16_supported = paddle.amp.is_float16_supported = lambda: True
    run.choose_precision = lambda options, _: choose_precision(options, "gpu")
    paddle.matmul = emulated = _emulated(_plain)

    def linear(x: Any, weight: Any, bias: Any = None, name: Any = None) -> Any:
        made = emulated(x, weight)
        return made if bias is None else made + bias

    F.linear = linear
    F.flashmask_attention = _flash


def _flash(
    query: Any, key: Any, value: Any, startend_row_indices: Any = None, *, causal: bool
) -> Any:
    """What Paddle says of its kernel, with a mask and all scores in memory."""
    assert causal
    assert query.dtype == key.dtype == value.dtype
    assert query.dtype in (paddle.bfloat16, paddle.float16)
    if startend_row_indices is not None:
        assert startend_row_indices.dtype == paddle.int32
        batch, tokens = query.shape[:2]
        assert startend_row_indices.shape == [batch, 1, tokens, 1]
        products["packed"] += 1
    low = query.dtype
    products[_name(low)] += 1
    with paddle.amp.auto_cast(enable=False):
        query, key, value = (
            part.astype("float32").transpose([0, 2, 1, 3]) for part in (query, key, value)
        )
        share = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(share, axis=1) for part in (key, value))
        row = paddle.arange(query.shape[2]).reshape([1, 1, -1, 1])
        column = paddle.arange(query.shape[2]).reshape([1, 1, 1, -1])
        shown = column <= row
        if startend_row_indices is not None:
            shown = shown & (row < startend_row_indices.astype("int64").transpose([0, 1, 3, 2]))
        bias = paddle.where(shown, paddle.zeros([1]), paddle.full([1], -1e30))
        scores = _plain(query, key, transpose_y=True) / query.shape[3] ** 0.5
        mixed = _plain(F.softmax(scores + bias, axis=-1), value)
    return mixed.transpose([0, 2, 1, 3]).astype(low)


def _emulated(product: Any) -> Any:
    def emulated(x: Any, y: Any, *rest: Any, **named: Any) -> Any:
        tracer = framework._dygraph_tracer()
        low = _name(x.dtype)
        if tracer._amp_level != paddle.base.core.AmpLevel.O0:
            low = tracer._amp_dtype
        products[low] += 1
        if low == "float32":
            return product(x, y, *rest, **named)
        x, y = x.astype(low), y.astype(low)
        with paddle.amp.auto_cast(enable=False):
            exact = product(x.astype("float32"), y.astype("float32"), *rest, **named)
            return exact.astype(low)

    return emulated


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("paddle.")
