"""What a run will do, worked out before it starts: steps, and when to log, evaluate and save."""

from __future__ import annotations

import math
from dataclasses import dataclass

from llm_train.loop.schedule import Schedule
from llm_train.training_options import TrainingOptions


@dataclass(frozen=True)
class Plan:
    """Numbers of a run, all in optimizer steps; 0 for evaluate_every or save_every: never."""

    steps: int
    steps_per_epoch: float
    evaluate_every: int
    save_every: int
    schedule: Schedule


def make_plan(options: TrainingOptions, epoch_samples: int) -> Plan:
    """The plan of a run over an epoch of so many samples.

    Without max_steps the steps are rounded up, so that no sample is left out of an epoch; the last
    step then takes its missing samples from the next epoch's order.
    """
    per_epoch = epoch_samples / options.batch_size
    steps = options.max_steps
    if steps <= 0:
        steps = max(1, math.ceil(round(per_epoch * options.num_train_epochs, 6)))
    evaluation = options.evaluation_strategy
    if options.do_eval and evaluation == "no":
        evaluation = "steps"
    warmup = options.warmup_steps or int(options.warmup_ratio * steps)
    schedule = Schedule(
        options.lr_scheduler_type,
        options.learning_rate,
        options.decay_steps or steps,
        warmup,
        options.min_learning_rate,
        options.lr_end,
        options.power,
        options.num_cycles,
    )
    return Plan(
        steps,
        per_epoch,
        _every(evaluation, options.eval_steps or options.logging_steps, per_epoch),
        _every(options.save_strategy, options.save_steps, per_epoch),
        schedule,
    )


def _every(strategy: str, steps: int, per_epoch: float) -> int:
    return {"no": 0, "steps": steps, "epoch": max(1, round(per_epoch))}[strategy]
