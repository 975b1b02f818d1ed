"""Where rounding to 16 bits must not reach, whatever autocast is around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paddle
from paddle.base import core, framework


def exact() -> AbstractContextManager[Any]:
    """Operations inside take their inputs as they are; without an autocast this costs nothing."""
    if not paddle.in_dynamic_mode():
        return nullcontext()
    if framework._dygraph_tracer()._amp_level == core.AmpLevel.O0:
        return nullcontext()
    context: AbstractContextManager[Any] = paddle.amp.auto_cast(enable=False)
    return context
