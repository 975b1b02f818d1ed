"""Runs `llm train plan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llm_train.forecast.options import PlanOptions

if TYPE_CHECKING:
    from llm_train.forecast.speed import Pace
    from llm_train.training_options import TrainingOptions

_GB = 1e9


def plan(options: PlanOptions) -> int:
    """Print the forecast; 1 where the run does not fit, else 0. Raises RecipeError as the run."""
    from llm_cli.console import table
    from llm_convert.hub import resolve_model
    from llm_convert.model import read_config
    from llm_train.forecast.forecast import forecast, free_memory
    from llm_train.forecast.room import advice, amount

    memory = options.memory_gb
    run = replace(options, memory_gb=None).of_stage()
    run.model_name_or_path = resolve_model(run.model_name_or_path, from_aistudio=run.from_aistudio)
    config = read_config(Path(run.model_name_or_path))
    processes = run.nproc_per_node * run.nnodes
    free = free_memory() if memory is None else int(memory * _GB)
    # Before Paddle, which takes seconds: what the run would refuse.
    forecast(run, config, processes)
    found = forecast(run, config, processes, _pace(run))
    need = found.memory
    table(
        f"{found.layout}: what each process needs",
        ("part", "memory"),
        [
            (name, amount(getattr(need, name)))
            for name in ("started", "weights", "gradients", "moments", "activations", "total")
        ],
    )
    here = found.memory.total * run.nproc_per_node
    table(
        "The run",
        ("figure", "value"),
        [
            ("memory of all processes here", amount(here)),
            ("memory to be had", amount(free)),
            ("tokens a second, at the pace just measured", f"{found.tokens_per_s:,.0f}"),
            ("disk", amount(found.disk)),
        ],
    )
    if here <= free:
        return 0
    print(f"It does not fit. {advice(run, config, processes, free)}")  # noqa: T201
    return 1


def _pace(run: TrainingOptions) -> Pace:
    """Of each of the run's processes on this machine."""
    from llm_kernels.paddle.environment import prepare
    from llm_kernels.processors import available

    prepare()
    from llm_train.forecast.pace import measured_pace

    return measured_pace().shared(run.nproc_per_node, available())
