"""The options every training command shares: PaddleNLP's names and, where none is said, defaults.

Standard library and `llm_cli.options` only: `--help` reads this. `llm_peft` builds on it too.
An option that one process cannot honour is refused (`refuse_what_is_missing`); one that changes
speed or precision elsewhere and nothing here is accepted and named in the log
(`llm_train.without_effect`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from llm_cli.options import flag, option
from llm_train.errors import RecipeError

STRATEGIES = ("no", "steps", "epoch")
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial")
_MODEL, _RUN, _BATCH = "Model", "Run", "Batches"
_OPTIMIZER, _SCHEDULE = "Optimizer", "Learning rate"
_WATCH, _CHECKPOINTS, _MACHINE = "Watching", "Checkpoints", "Machine"
_PARALLEL, _PRECISION, _ACCEPTED = "Parallel", "Precision", "Accepted from PaddleNLP's recipes"

_NEUTRAL: Mapping[str, object] = MappingProxyType(
    {
        "sep_parallel_degree": 1,
        "context_parallel_degree": 1,
        "expert_parallel_degree": 1,
    }
)


@dataclass(kw_only=True)
class TrainingOptions:
    """Options of one training run."""

    model_name_or_path: str = option(
        help="Folder of a model, or of a config.json alone to start from new weights; or a model's "
        "name on a hub, org/name or org/name@revision.",
        group=_MODEL,
    )
    from_aistudio: bool = flag(
        False, help="Load a model that is no folder here from AI Studio's hub.", group=_MODEL
    )
    tokenizer_name_or_path: str | None = option(
        None, help="Folder or file of the tokenizer; the model's own where absent.", group=_MODEL
    )
    continue_training: bool | None = option(
        None,
        help="Start from the folder's weights; false: from new ones. Default: true for sft, "
        "false for pretrain. Always true without do_train.",
        group=_MODEL,
        bare="true",
    )
    output_dir: str = option(
        help="Folder for the model, its checkpoints, metrics.jsonl and loss.png.", group=_RUN
    )
    overwrite_output_dir: bool = flag(
        False,
        help="Start anew where output_dir holds an earlier run; its checkpoints are removed.",
        group=_RUN,
    )
    do_train: bool = flag(True, help="Train. False with --do_eval true: only evaluate.", group=_RUN)
    do_eval: bool = flag(False, help="Evaluate on the held-out data while training.", group=_RUN)
    do_predict: bool = flag(False, help="Evaluate on the test data after training.", group=_RUN)
    seed: int = option(42, help="Seed of new weights, data order and dropout.", group=_RUN)
    num_train_epochs: float = option(
        1.0, help="How often to go through the training data.", group=_RUN
    )
    max_steps: int = option(
        -1, help="Number of optimizer steps; above 0 it overrides num_train_epochs.", group=_RUN
    )
    per_device_train_batch_size: int = option(
        8, help="Samples in memory at once while training.", group=_BATCH
    )
    gradient_accumulation_steps: int = option(
        1,
        help="Such batches per optimizer step; the loss is the mean over all their tokens.",
        group=_BATCH,
    )
    per_device_eval_batch_size: int = option(
        8, help="Samples in memory at once while evaluating.", group=_BATCH
    )
    dataloader_num_workers: int = option(
        0, help="Processes that prepare batches; 0: this one.", group=_BATCH
    )
    recompute: bool = flag(
        False, help="Recompute blocks in the backward pass: less memory, more time.", group=_BATCH
    )
    recompute_granularity: str = option(
        "full", help="What is recomputed: whole blocks.", choices=("full",), group=_BATCH
    )
    optim: str = option("adamw", help="The optimizer.", choices=("adamw",), group=_OPTIMIZER)
    weight_decay: float = option(
        0.0, help="AdamW's decay, of all weights but norms and biases.", group=_OPTIMIZER
    )
    adam_beta1: float = option(0.9, help="AdamW's beta 1.", group=_OPTIMIZER)
    adam_beta2: float = option(0.999, help="AdamW's beta 2.", group=_OPTIMIZER)
    adam_epsilon: float = option(1e-8, help="AdamW's epsilon.", group=_OPTIMIZER)
    max_grad_norm: float = option(
        1.0, help="Gradients are scaled down to this global norm; 0: never.", group=_OPTIMIZER
    )
    learning_rate: float = option(5e-5, help="The highest learning rate.", group=_SCHEDULE)
    min_learning_rate: float = option(
        0.0, help="Where the linear and the cosine schedule end.", group=_SCHEDULE
    )
    lr_scheduler_type: str = option(
        "linear",
        help="Shape of the learning rate over the steps.",
        choices=SCHEDULES,
        group=_SCHEDULE,
    )
    warmup_steps: int = option(
        0, help="Steps of linear rise from 0; above 0 it overrides warmup_ratio.", group=_SCHEDULE
    )
    warmup_ratio: float = option(
        0.0, help="Share of the steps that is such a rise.", group=_SCHEDULE
    )
    decay_steps: int | None = option(
        None, help="Step at which the schedule ends, where not the last.", group=_SCHEDULE
    )
    num_cycles: float = option(0.5, help="Waves of the cosine schedule.", group=_SCHEDULE)
    lr_end: float = option(1e-7, help="Where the polynomial schedule ends.", group=_SCHEDULE)
    power: float = option(1.0, help="Power of the polynomial schedule.", group=_SCHEDULE)
    logging_steps: int = option(
        500, help="Write the training loss every so many steps.", group=_WATCH
    )
    logging_first_step: bool = flag(False, help="Also after the first step.", group=_WATCH)
    evaluation_strategy: str = option(
        "no",
        help="When to evaluate; with do_eval, no becomes steps, as in PaddleNLP.",
        choices=STRATEGIES,
        group=_WATCH,
    )
    eval_steps: int | None = option(
        None, help="Evaluate every so many steps; default: logging_steps.", group=_WATCH
    )
    eval_on_start: bool = flag(True, help="Also evaluate before the first step.", group=_WATCH)
    max_evaluate_steps: int | None = option(
        None, help="Batches of an evaluation, always the first ones; none or -1: all.", group=_WATCH
    )
    max_test_steps: int | None = option(
        None, help="Batches of the test evaluation (do_predict); none or -1: all.", group=_WATCH
    )
    report_to: str = option(
        "none",
        help="Also write the figures for this viewer.",
        choices=("none", "tensorboard", "visualdl", "all"),
        group=_WATCH,
    )
    save_strategy: str = option(
        "steps", help="When to write a checkpoint.", choices=STRATEGIES, group=_CHECKPOINTS
    )
    save_steps: int = option(
        500, help="Write a checkpoint every so many steps.", group=_CHECKPOINTS
    )
    use_async_save: bool = flag(
        False,
        help="Write checkpoints while training goes on, from a copy in memory.",
        group=_CHECKPOINTS,
    )
    save_total_limit: int | None = option(
        None, help="Keep only so many checkpoints, the newest and the best.", group=_CHECKPOINTS
    )
    early_stopping: bool = flag(
        False, help="End when evaluations do not get better.", group=_CHECKPOINTS
    )
    early_stopping_patience: int = option(
        1, help="How many evaluations without a better figure end the run.", group=_CHECKPOINTS
    )
    early_stopping_threshold: float = option(
        0.0, help="By how much a figure must be better to count.", group=_CHECKPOINTS
    )
    load_best_model_at_end: bool = flag(
        False,
        help="End with the checkpoint that evaluated best, not with the last step.",
        group=_CHECKPOINTS,
    )
    metric_for_best_model: str = option(
        "loss",
        help="What best means.",
        choices=("loss", "eval_loss", "ppl", "eval_ppl", "accuracy", "eval_accuracy"),
        group=_CHECKPOINTS,
    )
    greater_is_better: bool | None = option(
        None, help="Default: only for accuracy.", group=_CHECKPOINTS, bare="true"
    )
    resume_from_checkpoint: str | None = option(
        None,
        help="A checkpoint folder, or true for the newest complete one of output_dir.",
        group=_CHECKPOINTS,
        bare="true",
    )
    device: str = option(
        "auto", help="Where to train.", choices=("auto", "cpu", "gpu"), group=_MACHINE
    )
    nproc_per_node: int = option(
        1, help="Processes to start on this machine; they share the work.", group=_PARALLEL
    )
    nnodes: int = option(1, help="Machines that start as many.", group=_PARALLEL)
    master: str | None = option(
        None, help="IP:PORT of one of the machines, the same on all.", group=_PARALLEL
    )
    node_rank: int = option(
        -1, help="This machine's number; default: as they come.", group=_PARALLEL
    )
    tensor_parallel_degree: int = option(
        -1, help="Processes that share every layer's weights.", group=_PARALLEL
    )
    sequence_parallel: bool = flag(
        False,
        help="Those processes also share the tokens between layers; less memory.",
        group=_PARALLEL,
    )
    pipeline_parallel_degree: int = option(
        -1, help="Processes that hold the layers one after the other.", group=_PARALLEL
    )
    virtual_pp_degree: int = option(
        1, help="Parts of the model in each of them; more wait less.", group=_PARALLEL
    )
    sharding: str = option(
        "",
        help="stage1 shares the optimizer's state, stage2 also gradients, stage3 also weights.",
        group=_PARALLEL,
    )
    sharding_parallel_degree: int = option(
        -1, help="Processes that share so; default: all that are left.", group=_PARALLEL
    )
    sep_parallel_degree: int = option(-1, help="At most 1 so far.", group=_PARALLEL)
    context_parallel_degree: int = option(-1, help="At most 1 so far.", group=_PARALLEL)
    expert_parallel_degree: int = option(-1, help="At most 1 so far.", group=_PARALLEL)
    bf16: bool = flag(
        False, help="Multiply in bfloat16, on a GPU; a CPU stays in float32.", group=_PRECISION
    )
    fp16: bool = flag(
        False, help="Multiply in float16 with a scaled loss, on a GPU.", group=_PRECISION
    )
    fp16_opt_level: str = option(
        "O1",
        help="O1: products in 16 bits; O2: hidden states between layers too; O0: neither. "
        "Weights stay float32.",
        choices=("O0", "O1", "O2"),
        group=_PRECISION,
    )
    scale_loss: float = option(
        32768.0, help="What fp16 multiplies the loss by at first; it adapts.", group=_PRECISION
    )
    amp_custom_black_list: list[str] | None = option(
        None,
        help="Operations that stay float32, by Paddle's names (matmul_v2, softmax).",
        group=_PRECISION,
    )
    amp_custom_white_list: list[str] | None = option(
        None, help="Names of further operations in 16 bits.", group=_PRECISION
    )
    use_flash_attention: bool = flag(
        False,
        help="Attention that holds no scores, on a GPU with bf16 or fp16.",
        group=_PRECISION,
    )
    use_fused_rms_norm: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    use_fused_rope: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    fuse_attention_qkv: bool | None = option(
        None, help="Has no effect.", group=_ACCEPTED, bare="true"
    )
    fuse_attention_ffn: bool | None = option(
        None, help="Has no effect.", group=_ACCEPTED, bare="true"
    )
    use_fused_linear_cross_entropy: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    use_fused_head_and_loss_fn: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    use_sparse_head_and_loss_fn: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    flash_mask: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    tensor_parallel_output: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    tensor_parallel_config: str = option("", help="Has no effect.", group=_ACCEPTED)
    pipeline_parallel_config: str = option("", help="Has no effect.", group=_ACCEPTED)
    sharding_parallel_config: str = option("", help="Has no effect.", group=_ACCEPTED)
    data_parallel_config: str = option("", help="Has no effect.", group=_ACCEPTED)
    sequence_parallel_config: str = option("", help="Has no effect.", group=_ACCEPTED)
    hybrid_parallel_topo_order: str | None = option(None, help="Has no effect.", group=_ACCEPTED)
    distributed_dataloader: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    unified_checkpoint: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    disable_tqdm: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    amp_master_grad: bool = flag(False, help="Has no effect.", group=_ACCEPTED)
    eval_accumulation_steps: int | None = option(None, help="Has no effect.", group=_ACCEPTED)

    def __post_init__(self) -> None:
        """Raise RecipeError for what cannot work, naming the option."""
        refuse_what_is_missing(self)
        _require_numbers(self)
        if self.load_best_model_at_end and self.evaluates and self.save_strategy == "no":
            message = (
                "--load_best_model_at_end true needs checkpoints to choose from, and "
                "--save_strategy is no. Set it to steps or epoch."
            )
            raise RecipeError(message)
        if self.bf16 and self.fp16:
            message = "--bf16 true and --fp16 true: products are in one of them. Set one to false."
            raise RecipeError(message)
        if self.scale_loss < 1 or math.log2(self.scale_loss) % 1:
            message = (
                f"--scale_loss is {self.scale_loss:g}; give a power of two from 1 on, such as "
                "32768: others would round what they multiply."
            )
            raise RecipeError(message)
        both = set(self.amp_custom_black_list or ()) & set(self.amp_custom_white_list or ())
        if both:
            message = (
                f"{', '.join(sorted(both))}: in --amp_custom_black_list and in "
                "--amp_custom_white_list. Leave each out of one of them."
            )
            raise RecipeError(message)
        if self.early_stopping and not self.evaluates:
            message = (
                "--early_stopping true needs evaluations (--do_eval true); without them it would "
                "never stop."
            )
            raise RecipeError(message)
        if self.warmup_steps < 0 or not 0 <= self.warmup_ratio <= 1:
            message = (
                f"--warmup_steps {self.warmup_steps} and --warmup_ratio {self.warmup_ratio}: "
                "give a number of steps from 0 on, or a share between 0 and 1."
            )
            raise RecipeError(message)

    @property
    def best_metric(self) -> tuple[str, int]:
        """The figure that says which evaluation is best, and 1 where greater is better, else -1."""
        name = "eval_" + self.metric_for_best_model.removeprefix("eval_")
        greater = self.greater_is_better
        return name, 1 if (name == "eval_accuracy" if greater is None else greater) else -1

    @property
    def evaluates(self) -> bool:
        """Whether held-out data is evaluated while training."""
        return self.do_eval or self.evaluation_strategy != "no"

    @property
    def batch_size(self) -> int:
        """B, the samples of one optimizer step on one replica of the model."""
        return self.per_device_train_batch_size * self.gradient_accumulation_steps

    def takes_weights(self, default: bool) -> bool:
        """Whether the run begins with the folder's weights; always, where it only evaluates."""
        if not self.do_train:
            return True
        return default if self.continue_training is None else self.continue_training

    def batches(self, prefix: str) -> int | None:
        """How many batches an evaluation of the "eval" or "test" data takes; None: all."""
        limit = self.max_evaluate_steps if prefix == "eval" else self.max_test_steps
        return None if limit is None or limit < 0 else limit


def refuse_what_is_missing(options: TrainingOptions) -> None:
    """Raise RecipeError for parallel layouts that are not there yet."""
    for name, most in _NEUTRAL.items():
        value = getattr(options, name)
        if value > most:
            message = (
                f"--{name} is {value}; this axis is not there, so at most 1 works. Set it to 1, or "
                "take it out of the recipe."
            )
            raise RecipeError(message)


def _require_numbers(options: TrainingOptions) -> None:
    for name in (
        "per_device_train_batch_size",
        "per_device_eval_batch_size",
        "gradient_accumulation_steps",
        "logging_steps",
        "save_steps",
        "eval_steps",
        "decay_steps",
        "learning_rate",
        "num_train_epochs",
        "nproc_per_node",
        "nnodes",
        "early_stopping_patience",
    ):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            message = f"--{name} is {value}; it must be a number above 0."
            raise RecipeError(message)
    if options.max_steps < -1 or options.max_steps == 0:
        message = (
            f"--max_steps is {options.max_steps}; give a number of steps above 0, or -1 for as "
            "many as --num_train_epochs says."
        )
        raise RecipeError(message)
    if not 0 <= options.weight_decay < math.inf:
        message = f"--weight_decay is {options.weight_decay}; it must be a number from 0 on."
        raise RecipeError(message)
    for name in ("max_evaluate_steps", "max_test_steps"):
        value = getattr(options, name)
        if value == 0:
            message = f"--{name} is 0; give a number of batches, or -1 for all."
            raise RecipeError(message)
