"""What a run will do, worked out before it starts: steps, and when to log, evaluate and save."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from llm_train.loop.schedule import Schedule
from llm_train.training_options import TrainingOptions


@dataclass(frozen=True)
class Plan:
    """Numbers of a run, all in optimizer steps; 0 for evaluate_every or save_every: never.

    An epoch need not be a whole number of steps, so those two are fractions; see `due`.
    """

    steps: int
    batch: int
    """Samples of a step, of all replicas together."""
    evaluate_every: Fraction
    save_every: Fraction
    schedule: Schedule


def make_plan(options: TrainingOptions, epoch_samples: int, replicas: int = 1) -> Plan:
    """The plan of a run over an epoch of so many samples, on so many replicas of the model.

    Without max_steps the steps are rounded up, so that no sample is left out of an epoch; the last
    step then takes its missing samples from the next epoch's order. So is warmup_ratio's share.
    """
    batch = options.batch_size * replicas
    per_epoch = Fraction(epoch_samples, batch)
    steps = options.max_steps
    if steps <= 0:
        steps = max(1, math.ceil(round(float(per_epoch) * options.num_train_epochs, 6)))
    evaluation = options.evaluation_strategy
    if options.do_eval and evaluation == "no":
        evaluation = "steps"
    warmup = options.warmup_steps or math.ceil(options.warmup_ratio * steps)
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
        batch,
        _every(evaluation, options.eval_steps or options.logging_steps, per_epoch),
        _every(options.save_strategy, options.save_steps, per_epoch),
        schedule,
    )


def due(step: int, every: Fraction) -> bool:
    """Whether a whole number of `every` steps ends within step `step`, the first being 1."""
    return every > 0 and step // every > (step - 1) // every


def _every(strategy: str, steps: int, per_epoch: Fraction) -> Fraction:
    return {"no": Fraction(0), "steps": Fraction(steps), "epoch": per_epoch}[strategy]
