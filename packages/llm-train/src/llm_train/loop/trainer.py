"""paddlenlp's Trainer with our data order, loss, evaluation, checkpoints and display.

The Trainer keeps the loop: optimizer, schedule, gradient clipping, and (with several processes)
Fleet. One of its steps here is one optimizer step: the micro-batches of a gradient accumulation
arrive together, so that the mean is over all their tokens.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle
from paddle import nn
from paddlenlp.trainer import Trainer, TrainerCallback, TrainingArguments
from paddlenlp.trainer.trainer_callback import DefaultFlowCallback, PrinterCallback

from llm_train.errors import DivergedError
from llm_train.loop.background import Background
from llm_train.loop.batches import StepLoader, count_trained, cut, real_tokens
from llm_train.loop.checkpoints import Checkpoints
from llm_train.loop.compute import make_computation
from llm_train.loop.damage import refuse_damage
from llm_train.loop.data import ModelFiles, TrainingData
from llm_train.loop.evaluation import evaluate
from llm_train.loop.interrupt import Interrupt
from llm_train.loop.optimizer_state import (
    read_optimizer,
    read_state,
    write_optimizer,
    write_state,
)
from llm_train.loop.optimizers import make_optimizer
from llm_train.loop.order import SampleOrder
from llm_train.loop.patience import Patience
from llm_train.loop.plan import Plan, due
from llm_train.loop.precision import FULL, Precision
from llm_train.loop.shared_state import SharedState, share_state
from llm_train.loop.watch import Watch
from llm_train.loss_scale import LossScale
from llm_train.orphans import end_with_reader
from llm_train.parallel.collectives import total
from llm_train.parallel.gradients import fill_missing
from llm_train.parallel.groups import Parallel
from llm_train.parallel.layout import ONE
from llm_train.training_options import TrainingOptions

logger = logging.getLogger(__name__)
STATE_FILE = "trainer_state.json"
_REPLICA = 1_000_003
"""Between the seeds of replicas, which draw noise for samples of their own."""


@dataclass(frozen=True)
class Run:
    """Everything one run is made of; `start` is the step it begins at."""

    options: TrainingOptions
    plan: Plan
    data: TrainingData
    files: ModelFiles
    checkpoints: Checkpoints
    watch: Watch
    lineage: Mapping[str, Any]
    identity: Mapping[str, Any]
    start: int
    parallel: Parallel | None = None
    precision: Precision = FULL
    judge: Callable[[], dict[str, float]] | None = None


class LoopTrainer(Trainer):
    """The Trainer of one `Run`."""

    def __init__(self, model: nn.Layer, arguments: TrainingArguments, run: Run) -> None:
        self.run = run
        self.best: float | None = None
        self.shared_state: SharedState | None = None
        scaled = run.precision.scales_loss
        self.loss_scale = LossScale(run.options.scale_loss, dynamic=True) if scaled else LossScale()
        self.computation = make_computation(model, run.parallel, run.precision, self.loss_scale)
        self.last_metrics: dict[str, float] = {}
        super().__init__(model=model, args=arguments, train_dataset=run.data.train)
        self.pop_callback(PrinterCallback)
        self.pop_callback(DefaultFlowCallback)
        options = run.options
        self.patience = Patience(
            options.early_stopping_patience if options.early_stopping else 0,
            options.best_metric[1],
            options.early_stopping_threshold,
        )
        self.interrupt = Interrupt(run.parallel)
        self.background = Background()
        self.flow = _Flow(run.plan, run.options, self.interrupt)
        self.add_callback(self.flow)

    def get_train_dataloader(self) -> StepLoader | paddle.io.DataLoader:
        """Steps of micro-batches, beginning at the step the run begins at."""
        options, run = self.run.options, self.run
        layout = run.parallel.layout if run.parallel else ONE
        order = SampleOrder(
            run.data.epoch_samples,
            run.plan.batch,
            run.plan.steps,
            options.seed,
            run.data.shuffle,
            run.start,
            layout.share(run.plan.batch),
        )
        collate = cut(run.data.collate, options.per_device_train_batch_size)
        if options.dataloader_num_workers == 0:
            return StepLoader(run.data.train, order, collate)
        return paddle.io.DataLoader(
            run.data.train,
            batch_sampler=order,
            collate_fn=collate,
            num_workers=options.dataloader_num_workers,
            worker_init_fn=end_with_reader,
        )

    def create_scheduler(self, num_training_steps: int) -> paddle.optimizer.lr.LRScheduler:  # noqa: ARG002
        """The plan's schedule, at the step the run begins at."""
        schedule = self.run.plan.schedule
        self.lr_scheduler = paddle.optimizer.lr.LambdaDecay(
            schedule.peak,
            lambda step: schedule.rate(step) / schedule.peak,
            last_epoch=self.run.start - 1,
        )
        return self.lr_scheduler

    def create_optimizer(
        self, lr_scheduler: paddle.optimizer.lr.LRScheduler | None = None
    ) -> paddle.optimizer.Optimizer:
        """The Trainer's optimizer, for as many processes as there are."""
        made: Any = getattr(self, "optimizer", None)
        if made is None:
            kind, settings = Trainer.get_optimizer_cls_and_kwargs(self.args)
            settings |= {
                "learning_rate": self.lr_scheduler if lr_scheduler is None else lr_scheduler,
                "weight_decay": self.args.weight_decay,
            }
            norm = self.args.max_grad_norm
            made = make_optimizer(
                self.model, kind, settings, norm, self.run.parallel, self.loss_scale
            )
            self.optimizer = made
            self.shared_state = share_state(made, self.run.files)
        return made

    def training_step(self, model: nn.Layer, inputs: Sequence[Mapping[str, Any]]) -> paddle.Tensor:
        """Gradients of the mean loss over all trained tokens of the step; that mean, detached."""
        step, parallel = self.state.global_step, self.run.parallel
        # Dropout of a step depends on the step alone, so a resumed run draws the same.
        replica = parallel.layout.replica if parallel else 0
        paddle.seed(self.run.options.seed + step + _REPLICA * replica)
        model.train()
        tokens = count_trained(inputs, step + 1, parallel)
        mean = self.computation.train(inputs, tokens, self._after_backward)
        if parallel is None:
            fill_missing(model.parameters())
        real = sum(real_tokens(batch) for batch in inputs)
        if parallel is not None:
            replicas = (parallel.sharding, parallel.data)
            mean = total(mean, *replicas, parallel.pipeline)
            real = int(total(real, *replicas))
        self.run.watch.stepped(real, mean, self.run.plan.batch)
        return paddle.to_tensor(mean)

    def _after_backward(self) -> None:
        if self.run.parallel is not None:
            self.optimizer.after_backward()

    def _wrap_model(self, model: nn.Layer, training: bool = True) -> nn.Layer:  # noqa: ARG002
        """The model as it is: what several processes need, `llm_train.parallel` has added."""
        return model

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Evaluate on the held-out data and write the figures down."""
        run, began = self.run, time.monotonic()
        assert run.data.valid is not None
        limit = run.options.batches("eval")
        size = run.options.per_device_eval_batch_size
        metrics = evaluate(
            self.model, run.data, run.data.valid, size, limit,
            parallel=run.parallel, precision=run.precision,
        )  # fmt: skip
        if run.judge is not None:
            metrics |= run.judge()
        run.watch.evaluated(self.state.global_step, metrics, time.monotonic() - began)
        self.last_metrics = metrics
        if self.patience.look(metrics[self.run.options.best_metric[0]]) and self.is_in_train:
            logger.info("Stopping early: %d evaluations were no better.", self.patience.waited)
            self.control.should_training_stop = True
        return metrics

    def log(self, logs: dict[str, float], **_: Any) -> None:
        """Have the training loss written down; the Trainer's own figures are not kept."""
        if "loss" in logs:
            step = self.state.global_step
            consumed = step * self.run.plan.batch / self.run.data.epoch_samples
            rate = self.run.plan.schedule.rate(step - 1)
            self.run.watch.trained(step, rate, consumed)

    def _check_loss_valid(self, loss: paddle.Tensor) -> None:
        value = float(loss)
        if not math.isfinite(value):
            message = (
                f"The loss is {value} at step {self.state.global_step + 1}. Lower --learning_rate "
                "or raise --warmup_steps, and resume from the last checkpoint."
            )
            raise DivergedError(message)

    def _save_checkpoint(self, model: nn.Layer, metrics: dict[str, float] | None = None) -> None:
        began, step = time.monotonic(), self.state.global_step
        run = self.run
        refuse_damage(self.optimizer, step, run.parallel)
        self._note_best(metrics, step)
        best = run.checkpoints.best
        state = {
            "best": self.best,
            "best_folder": str(best.resolve()) if best else None,
            "watch": run.watch.state(),
            "patience": self.patience.state(),
            "loss_scale": self.loss_scale.state(),
        }

        content = {**run.identity, **state}
        later = self._snapshot(model) if run.options.use_async_save else None
        if later is not None:
            self.background.run(lambda: run.checkpoints.save(step, later, run.lineage, content))
        else:
            run.checkpoints.save(step, lambda f: self._write(model, f), run.lineage, content)
        run.watch.paused(time.monotonic() - began)

    def _write(self, model: nn.Layer, folder: Path) -> None:
        self.run.files.save(folder)
        if self.shared_state is None:
            write_optimizer(self.optimizer, model, folder)
        else:
            self.shared_state.write(folder)
        if self.run.checkpoints.leads:
            self.state.save_to_json(str(folder / STATE_FILE))

    def _snapshot(self, model: nn.Layer) -> Callable[[Path], None] | None:
        """What writes the checkpoint of this moment later; None where it must be written now."""
        take = getattr(self.run.files, "snapshot", None)
        weights = take() if take is not None else None
        if weights is None:
            return None
        state = read_state(self.optimizer, model)
        progress = copy.deepcopy(self.state)

        def write(folder: Path) -> None:
            weights(folder)
            write_state(state, folder)
            progress.save_to_json(str(folder / STATE_FILE))

        return write

    def _note_best(self, metrics: dict[str, float] | None, step: int) -> None:
        options = self.run.options
        if not options.load_best_model_at_end or metrics is None:
            return
        name, sign = options.best_metric
        if self.best is None or sign * metrics[name] > sign * self.best:
            self.best = metrics[name]
            self.run.checkpoints.best = self.run.checkpoints.folder(step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str | None = None) -> None:
        if resume_from_checkpoint is not None:
            self.run.files.load(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        if self.shared_state is None:
            read_optimizer(self.optimizer, self.model, Path(checkpoint))
        else:
            self.shared_state.read(Path(checkpoint))


class _Flow(TrainerCallback):
    """Says when to log, evaluate, save and stop, by the plan.

    The last step logs and evaluates; it also saves where the best model is wanted at the end,
    since it may be the best.
    """

    def __init__(self, plan: Plan, options: TrainingOptions, interrupt: Interrupt) -> None:
        self.plan, self.options, self.interrupt = plan, options, interrupt
        self.stopped = False

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Set the flags for the step that has just ended."""
        step, plan = state.global_step, self.plan
        last = step >= plan.steps
        first = step == 1 and self.options.logging_first_step
        control.should_log = last or first or step % self.options.logging_steps == 0
        choosing = self.options.load_best_model_at_end and plan.evaluate_every > 0
        control.should_save = due(step, plan.save_every) or (last and choosing)
        wanted = last or due(step, plan.evaluate_every) or (control.should_save and choosing)
        control.should_evaluate = plan.evaluate_every > 0 and wanted
        control.should_training_stop = last
        if self.interrupt.wanted() and not last:
            self.stopped = control.should_save = control.should_training_stop = True
        return control

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """Nothing is due at the end of the loop that the last step has not done already."""
        control.should_log = control.should_save = control.should_evaluate = False
        return control
