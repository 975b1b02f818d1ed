"""The forecast of a run: memory, speed, disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llm_kernels.families import FamilySpec, Sizes, detect, parameters, read_sizes
from llm_kernels.memory import available
from llm_train.errors import RecipeError
from llm_train.forecast.memory import Memory, memory_of
from llm_train.forecast.speed import Pace, micro_cost, step_cost
from llm_train.parallel.layout import Layout, layout_of
from llm_train.training_options import TrainingOptions

UNKNOWN = Pace(1.0, 1.0, 1.0)
"""For who asks of memory or disk alone."""


@dataclass(frozen=True)
class Forecast:
    """What a run will need; `disk` is of its checkpoints and its model, in bytes."""

    layout: Layout
    memory: Memory
    tokens_per_s: float
    disk: int

    @property
    def memory_here(self) -> int:
        """Bytes of all processes on this machine."""
        return self.memory.total * self.layout.processes


def forecast(
    options: TrainingOptions,
    config: Mapping[str, Any],
    processes: int,
    pace: Pace = UNKNOWN,
    length: float | None = None,
) -> Forecast:
    """The forecast of a run in so many processes, each of that pace.

    `length`: mean tokens of a row, for the speed; None: rows are full. Not counted: what processes
    tell each other, filling, evaluations, checkpoints.
    """
    spec = detect(config)
    sizes = read_sizes(spec, config)
    layout = layout_of(options, processes)
    tokens = sample_length(options)
    memory = memory_of(
        spec,
        sizes,
        layout,
        batch=options.per_device_train_batch_size,
        tokens=tokens,
        micros=options.gradient_accumulation_steps,
        recompute=options.recompute,
    )
    speed = _speed(options, spec, sizes, layout, pace, round(length or tokens))
    return Forecast(layout, memory, speed, disk_of(options, spec, sizes))


def _speed(
    options: TrainingOptions,
    spec: FamilySpec,
    sizes: Sizes,
    layout: Layout,
    pace: Pace,
    tokens: int,
) -> float:
    """Tokens a second of all processes, on rows of `tokens`."""
    batch, micros = options.per_device_train_batch_size, options.gradient_accumulation_steps
    micro = micro_cost(
        spec, sizes, layout, batch=batch, tokens=tokens, recompute=options.recompute
    ).seconds(pace)
    step = step_cost(spec, sizes, layout).seconds(pace)
    seconds = micros * micro / _busy(layout, options) + step
    return layout.replicas * micros * batch * tokens / seconds


def sample_length(options: TrainingOptions) -> int:
    """Tokens of the longest row: max_seq_length of pretraining, max_length of fine-tuning."""
    value = getattr(options, length_option(options), None)
    return value if isinstance(value, int) else 1024


def length_option(options: TrainingOptions) -> str:
    """The option that says how long a row is."""
    return "max_length" if hasattr(options, "max_length") else "max_seq_length"


def disk_of(options: TrainingOptions, spec: FamilySpec, sizes: Sizes) -> int:
    """Bytes of the finished model and of the checkpoints that are kept at once.

    A new one is whole before an old one goes. Without max_steps one checkpoint is counted.
    """
    weights = 4 * sum(math.prod(shape) for shape in parameters(spec, sizes).values())
    count = 1
    if options.save_strategy == "no":
        count = 0
    elif options.max_steps > 0 and options.save_strategy == "steps":
        count = options.max_steps // options.save_steps
    if options.save_total_limit:
        count = min(count, options.save_total_limit + 1)
    return weights + 3 * weights * count


def _busy(layout: Layout, options: TrainingOptions) -> float:
    """The share of a step in which a pipeline's ranks have work."""
    micros = options.gradient_accumulation_steps
    return micros / (micros + (layout.pipeline - 1) / layout.chunks)


def proposal(
    options: TrainingOptions, config: Mapping[str, Any], processes: int, memory: int
) -> dict[str, Any] | None:
    """Changes of options with which the processes fit into `memory` bytes; None: there are none.

    Results stay the same: only how a batch is cut, recomputed and shared changes.
    """
    changes: dict[str, Any] = {}
    while True:
        changed = replace(options, **changes)
        if forecast(changed, config, processes).memory_here <= memory:
            return changes
        if changed.per_device_train_batch_size % 2 == 0:
            changes["per_device_train_batch_size"] = changed.per_device_train_batch_size // 2
            changes["gradient_accumulation_steps"] = changed.gradient_accumulation_steps * 2
        elif not changed.recompute:
            changes["recompute"] = True
        elif not changed.sharding and layout_of(changed, processes).data > 1:
            changes["sharding"] = "stage1"
        elif changed.sharding == "stage1" and layout_of(changed, processes).tensor == 1:
            if layout_of(changed, processes).pipeline > 1:
                return None
            changes["sharding"] = "stage3"
        else:
            return None


def free_memory() -> int:
    """Bytes that processes may still take here. Raises RecipeError where the system says not."""
    free = available()
    if free is None:
        message = "How much memory is free cannot be read here; state it with --memory_gb."
        raise RecipeError(message)
    return free
