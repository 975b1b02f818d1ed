"""Whether a run has room in this machine's memory, and what to do where it has not.

    check_room(options)         # before Paddle is imported and weights are loaded

A forecast is an estimate, on the high side. So a run is only refused where it is far beyond the
whole machine, and every row is known to be full; elsewhere it is warned of.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from llm_convert.model import read_config
from llm_kernels.memory import available, total
from llm_train.errors import RecipeError
from llm_train.forecast.forecast import forecast, length_option, proposal, sample_length
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)
_SURE = 1.5
"""Forecasts were up to 1.4 times what was measured (docs/performance.md)."""


def amount(count: float) -> str:
    """Bytes with a unit that leaves one to three digits before the point: "1.50 GB"."""
    units = ("B", "KB", "MB", "GB", "TB", "PB")
    power = 0
    while count >= 999.5 and power < len(units) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.{0 if power < 3 else 2}f} {units[power]}"


def check_room(options: TrainingOptions) -> None:
    """Warn of a run that is forecast to need more memory than is free here.

    Raises RecipeError where that is far more than this machine has at all. Says nothing of GPUs,
    whose memory is their own, nor in a process that a launcher started.
    """
    if "PADDLE_TRAINER_ID" in os.environ or not options.do_train or _may_use_gpu(options):
        return
    free, whole = available(), total()
    if free is None or whole is None:
        return
    config = read_config(Path(options.model_name_or_path))
    processes = options.nproc_per_node * options.nnodes
    memory = forecast(options, config, processes).memory
    need = memory.total * options.nproc_per_node
    if need <= free:
        return
    # Rows of questions and answers are as long as they are; those of pretraining are all full.
    full = length_option(options) == "max_seq_length"
    refused = full and need > _SURE * whole
    text = (
        f"This run is forecast to need {'' if full else 'up to '}{amount(need)} of memory here, "
        f"{amount(memory.activations * options.nproc_per_node)} of it for the activations of "
        f"{options.per_device_train_batch_size} x {sample_length(options):,} tokens"
    )
    helps = advice(options, config, processes, whole if refused else free)
    if refused:
        message = f"{text}; this machine has {amount(whole)}. {helps}"
        raise RecipeError(message)
    logger.warning("%s; %s are free. %s", text, amount(free), helps)


def advice(options: TrainingOptions, config: Mapping[str, Any], processes: int, memory: int) -> str:
    """What makes a run fit into `memory` bytes of each machine, as sentences."""
    everywhere = memory * options.nnodes
    changes = proposal(options, config, processes, everywhere)
    if changes:
        return f"This fits, with the same losses: {_written(changes)}."
    name = length_option(options)
    found = _shorter(options, name, config, processes, everywhere)
    shorter = ""
    if found is not None:
        length, changes = found
        also = f" with {_written(changes)}" if changes else ""
        shorter = f"a shorter --{name} ({length} fits{also}), "
    return (
        f"No smaller batch fits. Use {shorter}a smaller model, or more machines whose processes "
        "share it (--nnodes, --tensor_parallel_degree)."
    )


def _shorter(
    options: TrainingOptions, name: str, config: Mapping[str, Any], processes: int, memory: int
) -> tuple[int, dict[str, Any]] | None:
    """The longest power of two of tokens that fits, and the changes it needs besides."""
    changed: dict[str, Any] = {}
    length = 1 << max((sample_length(options) - 1).bit_length() - 1, 0)
    while length > 1:
        try:
            changed[name] = length
            shorter = replace(options, **changed)
        except RecipeError:
            return None
        changes = proposal(shorter, config, processes, memory)
        if changes is not None:
            return length, changes
        length //= 2
    return None


def _written(changes: Mapping[str, Any]) -> str:
    return " ".join(f"--{name} {str(value).lower()}" for name, value in changes.items())


def _may_use_gpu(options: TrainingOptions) -> bool:
    if options.device != "auto":
        return options.device == "gpu"
    try:
        metadata.distribution("paddlepaddle-gpu")
    except metadata.PackageNotFoundError:
        return False
    return True
