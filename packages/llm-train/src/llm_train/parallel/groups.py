"""This process among the others: Fleet's grid of groups, made once at the start.

parallel = start(layout)          # None where there is one process
parallel.tensor                   # the group, or None where the axis has one rank
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from dataclasses import dataclass
from typing import Any

import paddle
import paddle.distributed as dist
from paddle.distributed.fleet.base.topology import CommunicateTopology, HybridCommunicateGroup

from llm_train.parallel.layout import Layout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parallel:
    """The groups of this process; None for an axis with one rank.

    `ends` joins the first and the last stage of this pipeline, which hold one embedding together;
    None for the stages between.
    """

    layout: Layout
    tensor: Any = None
    pipeline: Any = None
    sharding: Any = None
    data: Any = None
    ends: Any = None

    @property
    def first_stage(self) -> bool:
        """Whether this process holds the embedding."""
        return self.layout.pipeline_rank == 0

    @property
    def last_stage(self) -> bool:
        """Whether this process holds the head and computes the loss."""
        return self.layout.pipeline_rank == self.layout.pipeline - 1

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes what there is one of."""
        return self.layout.rank == 0


_started: dict[str, Parallel] = {}


def start(layout: Layout) -> Parallel | None:
    """Join the other processes; None where there are none. Later calls give the same groups.

    A later call may ask for another layout of the same processes; its groups are made then.
    """
    if layout.processes == 1:
        return None
    if str(layout) not in _started:
        if paddle.get_device() == "cpu":
            from llm_train.parallel.gloo import use_one_store_per_group

            use_one_store_per_group()
        _started[str(layout)] = _join(layout)
        logger.info("%d processes: %s.", layout.processes, layout)
    return _started[str(layout)]


def _join(layout: Layout) -> Parallel:
    degrees = {
        "data": layout.data,
        "pipe": layout.pipeline,
        "sharding": layout.sharding,
        "sep": 1,
        "model": layout.tensor,
    }
    with _silent():
        if not dist.is_initialized():
            dist.init_parallel_env()
        # What fleet.init does too, but once in a process only.
        grid = HybridCommunicateGroup(CommunicateTopology([*degrees], [*degrees.values()]))
    return Parallel(
        layout,
        _used(layout.tensor, grid.get_model_parallel_group()),
        _used(layout.pipeline, grid.get_pipe_parallel_group()),
        _used(layout.sharding, grid.get_sharding_parallel_group()),
        _used(layout.data, grid.get_data_parallel_group()),
        _ends(layout),
    )


def _used(degree: int, group: Any) -> Any:
    return group if degree > 1 else None


def _ends(layout: Layout) -> Any:
    """The group of the first and last stage of this process's pipeline; all make all of them."""
    if layout.pipeline == 1:
        return None
    within = layout.tensor * layout.sharding
    whole = within * layout.pipeline
    own = None
    for rank in range(layout.processes):
        if rank // within % layout.pipeline == 0:
            ranks = [rank, rank + whole - within]
            group = dist.new_group(ranks)
            own = group if layout.rank in ranks else own
    return own


@contextlib.contextmanager
def _silent() -> Any:
    """Without Fleet's tables of its own settings."""
    said = io.StringIO()
    root = logging.getLogger()
    level = root.level
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
    finally:
        root.setLevel(level)
