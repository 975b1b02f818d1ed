"""How the processes of a run share the work: the degrees of the axes, and this process's place.

    layout = layout_of(options, processes=8, rank=3)
    layout.samples(step)        # the places in the step's samples that this process trains on

Ranks count tensor first, then sharding, pipeline, data: the ranks of a tensor group are neighbours.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from llm_train.errors import RecipeError
from llm_train.training_options import TrainingOptions


@dataclass(frozen=True)
class Layout:
    """Degrees of the axes (their product is the number of processes) and this process's rank.

    `stage` is sharding's: 1 shares the optimizer's state, 2 also the gradients, 3 also the weights;
    0 is none. `chunks` is the number of parts of the model in one stage of the pipeline.
    """

    tensor: int = 1
    pipeline: int = 1
    sharding: int = 1
    data: int = 1
    stage: int = 0
    chunks: int = 1
    sequence: bool = False
    rank: int = 0

    @property
    def processes(self) -> int:
        """All processes of the run."""
        return self.tensor * self.pipeline * self.sharding * self.data

    @property
    def replicas(self) -> int:
        """Processes, or groups of them, that each train on samples of their own."""
        return self.sharding * self.data

    @property
    def tensor_rank(self) -> int:
        """Which share of every split parameter this process holds."""
        return self.rank % self.tensor

    @property
    def sharding_rank(self) -> int:
        """This process's place among those that share the optimizer."""
        return self.rank // self.tensor % self.sharding

    @property
    def pipeline_rank(self) -> int:
        """This process's stage of the pipeline."""
        return self.rank // (self.tensor * self.sharding) % self.pipeline

    @property
    def data_rank(self) -> int:
        """This process's place among the copies of everything else."""
        return self.rank // (self.tensor * self.sharding * self.pipeline)

    @property
    def replica(self) -> int:
        """Which part of a step's samples this process trains on, from 0 to replicas - 1."""
        return self.data_rank * self.sharding + self.sharding_rank

    def share(self, count: int) -> range:
        """The places of `count` samples, a multiple of `replicas`, that this process trains on."""
        own = count // self.replicas
        return range(self.replica * own, (self.replica + 1) * own)

    def __str__(self) -> str:
        """The axes that are used: "tensor 2 x pipeline 2"."""
        names = {
            "tensor": self.tensor,
            "pipeline": self.pipeline,
            f"sharding stage {self.stage}": self.sharding,
            "data": self.data,
        }
        used = [f"{name} {degree}" for name, degree in names.items() if degree > 1]
        return " x ".join(used) or "one process"


ONE = Layout()
"""One process."""


def processes() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM") or 1)


def own_rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ.get("PADDLE_TRAINER_ID") or 0)


def current_layout(options: TrainingOptions) -> Layout:
    """The layout of this process. Raises RecipeError as `layout_of` does."""
    return layout_of(options, processes(), own_rank())


def layout_of(options: TrainingOptions, processes: int, rank: int = 0) -> Layout:
    """The layout that the options ask for. Raises RecipeError where `processes` do not fit."""
    tensor = max(options.tensor_parallel_degree, 1)
    pipeline = max(options.pipeline_parallel_degree, 1)
    stage = sharding_stage(options.sharding)
    wanted = options.sharding_parallel_degree
    rest, over = divmod(processes, tensor * pipeline)
    if over or not rest:
        _refuse(f"{tensor} x {pipeline} (tensor x pipeline)", processes, tensor * pipeline)
    sharding = (rest if wanted < 1 else wanted) if stage else 1
    if rest % sharding:
        _refuse(f"--sharding_parallel_degree {sharding}", rest, sharding)
    chunks = max(options.virtual_pp_degree, 1) if pipeline > 1 else 1
    layout = Layout(
        tensor,
        pipeline,
        sharding,
        rest // sharding,
        stage if sharding > 1 else 0,
        chunks,
        options.sequence_parallel and tensor > 1,
        rank,
    )
    _check(layout)
    return layout


def sharding_stage(wanted: str) -> int:
    """0 to 3 of "", "stage1", "stage2", "stage3". Raises RecipeError for another word."""
    words = wanted.split()
    stages = {"stage1": 1, "stage2": 2, "stage3": 3}
    if not words:
        return 0
    if len(words) > 1 or words[0] not in stages:
        message = (
            f"--sharding {wanted!r} is not supported; use stage1, stage2 or stage3 (offload to the "
            "host's memory is not there)."
        )
        raise RecipeError(message)
    return stages[words[0]]


def _refuse(what: str, processes: int, multiple: int) -> None:
    message = (
        f"{what} does not fit {processes} processes: their number must be a multiple of "
        f"{multiple}. Change --nproc_per_node (and --nnodes), or the degrees."
    )
    raise RecipeError(message)


def _check(layout: Layout) -> None:
    if layout.stage >= 2 and layout.pipeline > 1:
        message = (
            f"--sharding stage{layout.stage} with a pipeline is not supported (nor is it in "
            "PaddleNLP): gradients are needed whole until the last micro-batch. Use stage1."
        )
        raise RecipeError(message)
    if layout.stage == 3 and layout.tensor > 1:
        message = (
            "--sharding stage3 with tensor parallelism is not supported (nor is it in PaddleNLP). "
            "Use stage2, or --tensor_parallel_degree 1."
        )
        raise RecipeError(message)
