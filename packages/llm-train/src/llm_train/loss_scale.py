"""Dynamic loss scaling for float16 (Micikevicius et al. 2018, arXiv:1710.03740).

The loss is multiplied by a power of two before going backward, so that small gradients stay above
what float16 can hold, and gradients are divided by it before the step. One that overflowed skips
its step and halves the factor; many good ones in a row double it.

    scale = LossScale(options.scale_loss, dynamic=True)
    (loss * scale.value).backward()
    if scale.accepts(norm):   # of the scaled gradient
        ...                   # divide by the factor that the loss had, step
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from llm_train.errors import DivergedError

logger = logging.getLogger(__name__)
_PATIENCE = 1000
"""Good steps until the factor is doubled."""
_LEAST = 1.0


class LossScale:
    """The factor `value`. Where nothing is scaled it is 1 and stays so."""

    def __init__(self, value: float = 1.0, *, dynamic: bool = False) -> None:
        self.value, self.dynamic = value, dynamic
        self.good = 0

    def accepts(self, norm: float) -> bool:
        """Whether a gradient, scaled, of this norm may be stepped on; the factor follows.

        All processes must ask with the same norm. Raises DivergedError where a factor of 1
        overflows too.
        """
        if not self.dynamic:
            return True
        if math.isfinite(norm):
            self.good += 1
            if self.good == _PATIENCE:
                self.value, self.good = self.value * 2, 0
            return True
        if self.value <= _LEAST:
            message = (
                f"Gradients overflow float16 even with a loss scale of {self.value:g}. Lower "
                "--learning_rate, or set --bf16 true instead of --fp16."
            )
            raise DivergedError(message)
        self.value, self.good = max(self.value / 2, _LEAST), 0
        logger.info("A gradient overflowed: this step is skipped, loss scale %g.", self.value)
        return False

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"value": self.value, "good": self.good}

    def restore(self, state: Mapping[str, float]) -> None:
        """Set what `state` gave; a run that scales nothing keeps its 1."""
        if self.dynamic and state:
            self.value, self.good = float(state["value"]), int(state["good"])


NOT_SCALED = LossScale()
