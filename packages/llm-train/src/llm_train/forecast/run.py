"""Runs `llm train plan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_train.forecast.options import PlanOptions

_GB, _MB = 1e9, 1e6


def plan(options: PlanOptions) -> int:
    """Print the forecast; 1 where the run does not fit, else 0. Raises RecipeError as the run."""
    from llm_cli.console import table
    from llm_convert.hub import resolve_model
    from llm_convert.model import read_config
    from llm_train.forecast.forecast import forecast, free_memory, numpy_peak, proposal

    memory = options.memory_gb
    run = replace(options, memory_gb=None).of_stage()
    run.model_name_or_path = resolve_model(run.model_name_or_path, from_aistudio=run.from_aistudio)
    config = read_config(Path(run.model_name_or_path))
    processes = run.nproc_per_node * run.nnodes
    free = free_memory() if memory is None else int(memory * _GB)
    # A product uses all processors; processes share them.
    peak = numpy_peak() / run.nproc_per_node
    found = forecast(run, config, processes, peak)
    need = found.memory
    table(
        f"{found.layout}: what each process needs",
        ("part", "MB"),
        [
            (name, f"{getattr(need, name) / _MB:,.0f}")
            for name in ("started", "weights", "gradients", "moments", "activations", "total")
        ],
    )
    here = found.memory.total * run.nproc_per_node
    table(
        "The run",
        ("figure", "value"),
        [
            ("memory of all processes here", f"{here / _GB:.2f} GB"),
            ("memory to be had", f"{free / _GB:.2f} GB"),
            ("tokens a second", f"{found.tokens_per_s:,.0f}"),
            ("disk", f"{found.disk / _MB:,.0f} MB"),
        ],
    )
    if here <= free:
        return 0
    changes = proposal(run, config, processes, free * run.nnodes)
    if changes:
        text = " ".join(f"--{name} {str(value).lower()}" for name, value in changes.items())
        print(f"It does not fit. This does, with the same losses: {text}")  # noqa: T201
    else:
        print("It does not fit, and no cut of the batch does. Use more processes.")  # noqa: T201
    return 1
