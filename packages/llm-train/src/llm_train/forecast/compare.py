"""What was forecast of a run beside what was measured, said at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from llm_train.forecast.forecast import forecast
from llm_train.forecast.pace import measured_pace
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)


def say_forecast_and_measured(
    options: TrainingOptions,
    config: Mapping[str, Any],
    processes: int,
    measured_memory: int,
    measured_speed: float,
    length: float | None = None,
) -> None:
    """Log both; memory in bytes of this process. The pace is this machine's at the end.

    `length`: mean tokens of the rows that were trained on.
    """
    expected = forecast(options, config, processes, measured_pace(), length)
    logger.info(
        "Memory of this process: forecast %.0f MB, measured %.0f MB. Speed: forecast %s tokens/s "
        "at the pace of this machine, measured %s.",
        expected.memory.total / 1e6,
        measured_memory / 1e6,
        f"{expected.tokens_per_s:,.0f}",
        f"{measured_speed:,.0f}",
    )
