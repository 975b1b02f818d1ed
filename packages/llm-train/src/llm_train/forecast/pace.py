"""How fast this machine is at the three things that a training step is made of.

Measured with Paddle, on the device and the threads that would train: other libraries reach another
speed on the same processor. It takes half a second, and Paddle's import.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import paddle
import paddle.nn.functional as F

from llm_train.forecast.speed import Pace

_SIDE = 768
_ROWS, _WIDTH = 4096, 256
_SMALL = 8
_SECONDS = 0.03
_TRIES = 5


def measured_pace() -> Pace:
    """The pace of this process, beside whatever else this machine does now."""
    square = paddle.ones([_SIDE, _SIDE])
    rows = paddle.ones([_ROWS, _WIDTH])
    small = paddle.ones([_SMALL, _SMALL])
    return Pace(
        2.0 * _SIDE**3 / statistics.median(_tries(lambda: paddle.matmul(square, square))),
        _ROWS * _WIDTH / statistics.median(_tries(lambda: F.softmax(rows))),
        statistics.median(_tries(lambda: small + small)),
    )


def measured_peak() -> float:
    """Operations a second of a large float32 product.

    The best of a few tries: others that compute only ever make it slower.
    """
    square = paddle.ones([_SIDE, _SIDE])
    return 2.0 * _SIDE**3 / min(_tries(lambda: paddle.matmul(square, square)))


def _tries(call: Callable[[], paddle.Tensor]) -> list[float]:
    """Seconds of a call, in a few tries of many calls each."""
    call().numpy()
    return [_seconds(call) for _ in range(_TRIES)]


def _seconds(call: Callable[[], paddle.Tensor]) -> float:
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < _SECONDS:
        made = call()
        done += 1
    made.reshape([-1])[0].item()  # a device that works on its own has done it then
    return (time.perf_counter() - began) / done
