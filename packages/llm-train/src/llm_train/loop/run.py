"""Runs one training from start, or from its newest good checkpoint, to the finished model."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_cli.console import table
from llm_cli.outputs import lineage, written_file
from llm_cli.progress import Progress, progress
from llm_train.errors import RecipeError, StoppedError
from llm_train.exhausted import exhaustion_named, loading_named
from llm_train.forecast.compare import say_forecast_and_measured
from llm_train.lock import held
from llm_train.loop.checkpoints import Checkpoints
from llm_train.loop.data import ModelFiles, TrainingData
from llm_train.loop.device import use_device
from llm_train.loop.plan import Plan, make_plan
from llm_train.loop.plot import draw_losses
from llm_train.loop.precision import Precision, choose_precision, in_float32, without_flash
from llm_train.loop.publish import publish
from llm_train.loop.watch import Watch
from llm_train.loop.writers import make_writers
from llm_train.parallel.layout import layout_of, processes
from llm_train.training_options import TrainingOptions
from llm_train.without_effect import unused_axes, without_effect

if TYPE_CHECKING:
    from paddle import nn

    from llm_train.loop.trainer import Run
    from llm_train.parallel.groups import Parallel

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
    parallel: Parallel | None = None,
    judge: Callable[[], dict[str, float]] | None = None,
) -> TrainingResult:
    """Train `model` as `options` say and leave the finished model in output_dir.

    `model(input_ids [B, T], position_ids=, attention_mask=)` returns logits [B, T, V]; what has
    `stop_gradient` is not trained. `command` and `inputs` (option name -> path) go to llm.json.
    `judge`: figures of each evaluation besides loss, perplexity and accuracy.
    `parallel`: the processes that the model was built for, which all call this.
    A run that was stopped goes on at its newest complete checkpoint, with the same losses.
    Raises RecipeError (also where another run is in output_dir), ResumeError, BatchError,
    DivergedError.
    """
    layout = parallel.layout if parallel is not None else layout_of(options, 1)
    for line in [*without_effect(options), *unused_axes(options, layout)]:
        logger.info("%s", line)
    device = use_device(options.device)
    if (told := in_float32(options, device)) is not None:
        logger.warning("%s", told)
    precision = choose_precision(options, device)
    precision.prepare(getattr(model, "decoders", ()))
    judge = None if judge is None else precision.within(judge)
    if (told := without_flash(options, precision, getattr(model, "decoders", ()))) is not None:
        logger.info("%s", told)
    if precision.mixed:
        logger.info("Mixed precision: %s.", precision)
    if options.use_async_save and (parallel is not None or not hasattr(files, "snapshot")):
        logger.info("use_async_save=True has no effect here: only whole models of one process.")
    _check(options, data)
    if getattr(options, "eval_with_do_generation", False) and options.evaluates and judge is None:
        message = (
            f"--eval_with_do_generation true: llm {command} evaluates by loss and accuracy only, "
            "and so do several processes. Set it to false."
        )
        raise RecipeError(message)
    if options.recompute and getattr(model, "router_loss", None) is not None:
        message = (
            "--recompute true does not go with the router loss that config.json asks for. Set one "
            "of --recompute and output_router_logits to false."
        )
        raise RecipeError(message)
    if parallel is None and (processes() > 1 or options.nproc_per_node * options.nnodes > 1):
        message = (
            f"llm {command} trains in one process. Leave out --nproc_per_node and --nnodes, and "
            "start it without a launcher."
        )
        raise RecipeError(message)
    leads = parallel is None or parallel.leads
    with held(Path(options.output_dir)) if leads else nullcontext():
        return _run(model, options, data, files, command, inputs, parallel, judge, precision)


def _run(
    model: nn.Layer,
    options: TrainingOptions,
    data: TrainingData,
    files: ModelFiles,
    command: str,
    inputs: Mapping[str, str | None] | None,
    parallel: Parallel | None,
    judge: Callable[[], dict[str, float]] | None,
    precision: Precision,
) -> TrainingResult:
    from llm_train.loop.begin import begin
    from llm_train.loop.flops import Work
    from llm_train.loop.trainer import Run

    output_dir = Path(options.output_dir)
    if not options.do_train:
        with exhaustion_named(options):
            found = _evaluate_only(model, options, data, parallel, judge, precision)
        return TrainingResult(output_dir, 0, found)
    checkpoints = Checkpoints(output_dir, options.save_total_limit, parallel)
    plan = make_plan(options, data.epoch_samples, parallel.layout.replicas if parallel else 1)
    with loading_named(Path(options.model_name_or_path), getattr(model, "source", None)):
        beginning = begin(model, options, data, checkpoints, plan, parallel, precision)
    start, before = beginning.start, beginning.before
    title = command.split()[-1]
    silent = nullcontext(Progress(title, plan.steps, "steps"))
    with progress(title, plan.steps, "steps") if checkpoints.leads else silent as bar:
        origin = lineage(command=f"llm {command}", options=options, inputs=inputs)
        leads = checkpoints.leads
        watch = Watch(output_dir, bar, start, before.get("watch"), writes=leads)
        watch.writers = make_writers(options.report_to, output_dir) if leads else []
        watch.work = Work.of(model, parallel.layout.processes if parallel else 1)
        identity = beginning.identity
        run = Run(options, plan, data, files, checkpoints, watch, origin, identity, start, parallel)
        run = replace(run, judge=judge, precision=precision)
        with exhaustion_named(options):
            metrics = _train(model, run, beginning.resume, before)
        watch.close()
        if watch.work is not None and checkpoints.leads:
            count = parallel.layout.processes if parallel else 1
            source = getattr(model, "source", {})
            measured = watch.memory, watch.speed, watch.length
            say_forecast_and_measured(options, source, count, *measured)
    publish(output_dir, files, origin, parallel)
    if checkpoints.leads:
        draw_losses(output_dir, f"llm {command}")
        logger.info("The model is in %s.", output_dir)
    return TrainingResult(output_dir, plan.steps, metrics)


def _train(
    model: nn.Layer, run: Run, resume: Path | None, before: Mapping[str, Any]
) -> dict[str, float]:
    from llm_train.loop.damage import refuse_damage
    from llm_train.loop.evaluation import evaluate
    from llm_train.loop.trainer import LoopTrainer

    options, data = run.options, run.data
    trainer = LoopTrainer(model, _arguments(options, run.plan), run)
    trainer.best = before.get("best")
    trainer.loss_scale.restore(before.get("loss_scale", {}))
    for name, value in before.get("patience", {}).items():
        setattr(trainer.patience, name, value)
    if run.plan.evaluate_every and options.eval_on_start and not run.start:
        trainer.evaluate()
    with trainer.interrupt:
        try:
            trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        finally:
            trainer.background.wait()
    if trainer.flow.stopped:
        message = (
            f"Stopped at step {trainer.state.global_step}, which is in a checkpoint. The same "
            "command goes on there."
        )
        raise StoppedError(message)
    refuse_damage(trainer.optimizer, trainer.state.global_step, run.parallel)
    metrics = trainer.last_metrics
    if options.load_best_model_at_end and run.checkpoints.best is not None:
        folder = run.checkpoints.best
        found = f"{options.best_metric[0]} {trainer.best:.4g}"
        logger.info("%s evaluated best (%s); its weights are kept.", folder, found)
        run.files.load(folder)
        metrics = trainer.evaluate()
    if data.test is not None:
        sizes = _sizes(options, "test")
        metrics |= evaluate(
            model, data, data.test, **sizes, parallel=run.parallel, precision=run.precision
        )
        run.watch.evaluated(run.plan.steps, metrics, 0.0)
    return metrics


def _evaluate_only(
    model: nn.Layer,
    options: TrainingOptions,
    data: TrainingData,
    parallel: Parallel | None,
    judge: Callable[[], dict[str, float]] | None,
    precision: Precision,
) -> dict[str, float]:
    from llm_train.loop.evaluation import evaluate

    metrics: dict[str, float] = {}
    for samples, prefix in ((data.valid, "eval"), (data.test, "test")):
        if samples is not None:
            sizes = _sizes(options, prefix)
            metrics |= evaluate(
                model, data, samples, **sizes, parallel=parallel, precision=precision
            )
    if judge is not None and data.valid is not None:
        metrics |= judge()
    if parallel is not None and not parallel.leads:
        return metrics
    with written_file(Path(options.output_dir) / "eval_results.json") as stream:
        stream.write((json.dumps(metrics, indent=1) + "\n").encode())
    table("Held-out data", ("figure", "value"), metrics.items())
    return metrics


def _sizes(options: TrainingOptions, prefix: str) -> dict[str, Any]:
    return {
        "batch_size": options.per_device_eval_batch_size,
        "limit": options.batches(prefix),
        "prefix": prefix,
    }


def _arguments(options: TrainingOptions, plan: Plan) -> Any:
    """The Trainer's arguments: what it still decides; the rest is the run's."""
    from paddlenlp.trainer import TrainingArguments

    device = use_device(options.device)
    logger.info("Training on the %s.", device)
    return TrainingArguments(
        output_dir=options.output_dir,
        per_device_train_batch_size=plan.batch,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        adam_beta1=options.adam_beta1,
        adam_beta2=options.adam_beta2,
        adam_epsilon=options.adam_epsilon,
        max_grad_norm=options.max_grad_norm,
        max_steps=plan.steps,
        seed=options.seed,
        device=device,
        recompute=options.recompute,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        # The data order begins at the resumed step by itself.
        ignore_data_skip=True,
    )


def _check(options: TrainingOptions, data: TrainingData) -> None:
    if options.evaluates and data.valid is None:
        message = (
            "--do_eval true, but there is no held-out data. Give the second part of --split a "
            "share, add a dev.json, or set --do_eval false."
        )
        raise RecipeError(message)
    predicts = options.do_predict and data.test is not None
    if options.do_predict and not predicts:
        # PaddleNLP's recipes ask for it, whatever data there is.
        logger.info(
            "do_predict=True: there is no test data, so there is nothing to predict. The third "
            "part of --split is its share."
        )
    if not options.do_train and not options.evaluates and not predicts:
        message = (
            "--do_train and --do_eval are false, and --do_predict is too or has no test data: "
            "there is nothing to do. Set one to true."
        )
        raise RecipeError(message)
