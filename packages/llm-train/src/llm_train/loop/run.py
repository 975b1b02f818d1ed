"""Runs one training from start, or from its newest good checkpoint, to the finished model."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cli.console import table
from llm_cli.outputs import lineage, written_file
from llm_cli.progress import progress
from llm_train.errors import RecipeError
from llm_train.loop.checkpoints import RUN_FILE, Checkpoints, step_of
from llm_train.loop.data import ModelFiles, TrainingData
from llm_train.loop.folder import prepare_folder, publish
from llm_train.loop.plan import Plan, make_plan
from llm_train.loop.plot import draw_losses
from llm_train.loop.watch import Watch
from llm_train.training_options import TrainingOptions, without_effect

if TYPE_CHECKING:
    from paddle import nn

    from llm_train.loop.trainer import LoopTrainer, Run

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a run ended with: its steps and the last evaluation's figures (none without one)."""

    output_dir: Path
    steps: int
    metrics: Mapping[str, float]


def run_training(
    model: nn.Layer,
    options: TrainingOptions,
    data: TrainingData,
    files: ModelFiles,
    *,
    command: str,
    inputs: Mapping[str, str | None] | None = None,
) -> TrainingResult:
    """Train `model` as `options` say and leave the finished model in output_dir.

    `model(input_ids [B, T], position_ids=, attention_mask=)` returns logits [B, T, V]; what has
    `stop_gradient` is not trained. `command` and `inputs` (option name -> path) go to llm.json.
    A run that was stopped goes on at its newest complete checkpoint, with the same losses.
    Raises RecipeError, ResumeError, BatchError, DivergedError.
    """
    for line in without_effect(options):
        logger.info("%s", line)
    _check(options, data)
    output_dir = Path(options.output_dir)
    if not options.do_train:
        return TrainingResult(output_dir, 0, _evaluate_only(model, options, data))
    checkpoints = Checkpoints(output_dir, options.save_total_limit)
    plan = make_plan(options, data.epoch_samples)
    identity = _identity(options, data)
    resume = prepare_folder(options, checkpoints, identity)
    start = step_of(resume) if resume else 0
    with progress(command.split()[-1], total=plan.steps, unit="steps") as bar:
        from llm_train.loop.trainer import Run

        origin = lineage(command=f"llm {command}", options=options, inputs=inputs)
        watch = Watch(output_dir, bar, start)
        run = Run(options, plan, data, files, checkpoints, watch, origin, identity, start)
        metrics = _train(model, run, resume)
    publish(output_dir, files, origin)
    draw_losses(output_dir, f"llm {command}")
    logger.info("The model is in %s.", output_dir)
    return TrainingResult(output_dir, plan.steps, metrics)


def _train(model: nn.Layer, run: Run, resume: Path | None) -> dict[str, float]:
    from llm_train.loop.evaluation import evaluate
    from llm_train.loop.trainer import LoopTrainer

    options, data = run.options, run.data
    trainer = LoopTrainer(model, _arguments(options, run.plan), run)
    if resume is not None:
        _restore_best(trainer, resume)
    if run.plan.evaluate_every and options.eval_on_start and not run.start:
        trainer.evaluate()
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = trainer.last_metrics
    if options.load_best_model_at_end and run.checkpoints.best is not None:
        best = run.checkpoints.output_dir / f"checkpoint-{run.checkpoints.best}"
        logger.info("%s evaluated best (%s); its weights are kept.", best, trainer.best)
        run.files.load(best)
        metrics = trainer.evaluate()
    if options.do_predict and data.test is not None:
        metrics |= evaluate(model, data, data.test, **_sizes(options, "test"))
        run.watch.evaluated(run.plan.steps, metrics, 0.0)
    return metrics


def _evaluate_only(
    model: nn.Layer, options: TrainingOptions, data: TrainingData
) -> dict[str, float]:
    from llm_train.loop.evaluation import evaluate

    metrics: dict[str, float] = {}
    for samples, prefix in ((data.valid, "eval"), (data.test, "test")):
        if samples is not None:
            metrics |= evaluate(model, data, samples, **_sizes(options, prefix))
    with written_file(Path(options.output_dir) / "eval_results.json") as stream:
        stream.write((json.dumps(metrics, indent=1) + "\n").encode())
    table("Held-out data", ("figure", "value"), metrics.items())
    return metrics


def _sizes(options: TrainingOptions, prefix: str) -> dict[str, Any]:
    limit = options.max_evaluate_steps if prefix == "eval" else options.max_test_steps
    return {
        "batch_size": options.per_device_eval_batch_size,
        "limit": limit if limit > 0 else None,
        "prefix": prefix,
    }


def _arguments(options: TrainingOptions, plan: Plan) -> Any:
    """The Trainer's arguments: what it still decides; the rest is the run's."""
    from paddlenlp.trainer import TrainingArguments

    return TrainingArguments(
        output_dir=options.output_dir,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        adam_beta1=options.adam_beta1,
        adam_beta2=options.adam_beta2,
        adam_epsilon=options.adam_epsilon,
        max_grad_norm=options.max_grad_norm,
        max_steps=plan.steps,
        seed=options.seed,
        device=_device(options.device),
        recompute=options.recompute,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        # The data order begins at the resumed step by itself.
        ignore_data_skip=True,
    )


def _device(wanted: str) -> str:
    import paddle

    there = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if wanted == "gpu" and not there:
        message = (
            "--device gpu: this Paddle has no GPU (paddlepaddle-gpu is not installed, or no device "
            "is visible). Use --device cpu, or install paddlepaddle-gpu."
        )
        raise RecipeError(message)
    chosen = "gpu" if there and wanted != "cpu" else "cpu"
    logger.info("Training on the %s.", chosen)
    return chosen


def _check(options: TrainingOptions, data: TrainingData) -> None:
    if options.evaluates and data.valid is None:
        message = (
            "--do_eval true, but there is no held-out data. Give the second part of --split a "
            "share, add a dev.json, or set --do_eval false."
        )
        raise RecipeError(message)
    if not options.do_train and not options.evaluates:
        message = "--do_train false and --do_eval false: there is nothing to do. Set one to true."
        raise RecipeError(message)


def _identity(options: TrainingOptions, data: TrainingData) -> dict[str, Any]:
    """What must be the same for a resumed run to read the same samples."""
    return {
        "batch_size": options.batch_size,
        "epoch_samples": data.epoch_samples,
        "seed": options.seed,
    }


def _restore_best(trainer: LoopTrainer, resume: Path) -> None:
    written = json.loads((resume / RUN_FILE).read_text(encoding="utf-8"))
    trainer.best, trainer.run.checkpoints.best = written["best"], written["best_step"]
