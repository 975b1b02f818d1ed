"""Options: PaddleNLP's recipes load as they are, and nothing is ignored without a word."""

from __future__ import annotations

from typing import Any

import pytest

from llm_cli.options import option_specs
from llm_cli.values import build_options
from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions
from llm_train.sft.options import SftOptions
from llm_train.training_options import TrainingOptions

# The keys and values of PaddleNLP's recipes for Qwen2.5-0.5B.
PRETRAIN_RECIPE = {
    "model_name_or_path": "qwen", "tokenizer_name_or_path": "qwen", "input_dir": "./data",
    "output_dir": "./checkpoints/pretrain_ckpts", "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1, "per_device_eval_batch_size": 2,
    "tensor_parallel_degree": 1, "pipeline_parallel_degree": 1, "sharding": "stage2",
    "virtual_pp_degree": 1, "sequence_parallel": 0, "use_flash_attention": False,
    "use_fused_rms_norm": False, "max_seq_length": 1024, "learning_rate": 3e-05,
    "min_learning_rate": 3e-06, "warmup_steps": 30, "logging_steps": 1, "max_steps": 10000,
    "save_steps": 5000, "eval_steps": 1000, "weight_decay": 0.01, "fp16": True,
    "fp16_opt_level": "O2", "warmup_ratio": 0.01, "max_grad_norm": 1.0,
    "dataloader_num_workers": 1, "continue_training": 0, "do_train": True, "do_eval": True,
    "do_predict": True, "disable_tqdm": True, "recompute": False, "distributed_dataloader": 1,
    "recompute_granularity": "full", "unified_checkpoint": True, "save_total_limit": 2,
}  # fmt: skip
SFT_RECIPE = {
    "model_name_or_path": "llama", "dataset_name_or_path": "./data",
    "output_dir": "./checkpoints/llama_sft_ckpts", "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 2, "per_device_eval_batch_size": 8,
    "eval_accumulation_steps": 16, "num_train_epochs": 3, "learning_rate": 3e-05,
    "warmup_steps": 30, "logging_steps": 1, "evaluation_strategy": "epoch",
    "save_strategy": "epoch", "src_length": 1024, "max_length": 2048, "bf16": True,
    "fp16_opt_level": "O2", "do_train": True, "do_eval": True, "disable_tqdm": True,
    "load_best_model_at_end": True, "eval_with_do_generation": False,
    "metric_for_best_model": "accuracy", "recompute": False, "save_total_limit": 1,
    "tensor_parallel_degree": 1, "pipeline_parallel_degree": 1,
    "pipeline_parallel_config": "disable_p2p_cache_shape", "sharding": "stage2",
    "zero_padding": False, "unified_checkpoint": True, "use_flash_attention": False,
    "fuse_attention_qkv": True, "fuse_attention_ffn": True, "use_fused_rms_norm": True,
    "use_fused_rope": True, "use_fused_linear_cross_entropy": True,
}  # fmt: skip


def made(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"model_name_or_path": "m", "output_dir": "o", **changes})


def test_a_pretraining_recipe_loads() -> None:
    options = build_options(PretrainOptions, PRETRAIN_RECIPE, {}, "r.json")
    assert (options.continue_training, options.do_predict) == (False, True)
    assert (options.min_learning_rate, options.max_evaluate_steps) == (3e-6, 10)


def test_a_supervised_recipe_loads() -> None:
    options = build_options(SftOptions, SFT_RECIPE, {}, "r.json")
    assert (options.batch_size, options.evaluates) == (2, True)
    assert options.metric_for_best_model == "accuracy"


def test_every_flag_works_without_a_value() -> None:
    specs = [*option_specs(PretrainOptions), *option_specs(SftOptions)]
    assert {spec.bare for spec in specs if spec.type is bool} == {"true"}
    assert next(s for s in specs if s.name == "resume_from_checkpoint").bare == "true"


def test_paddlenlps_defaults() -> None:
    options = made()
    assert (options.learning_rate, options.lr_scheduler_type) == (5e-5, "linear")
    assert (options.per_device_train_batch_size, options.logging_steps) == (8, 500)
    assert (options.adam_beta1, options.adam_beta2, options.adam_epsilon) == (0.9, 0.999, 1e-8)
    assert (options.save_steps, options.seed, options.max_grad_norm) == (500, 42, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"sep_parallel_degree": 2},
        {"context_parallel_degree": 2},
        {"expert_parallel_degree": 4},
    ],
    ids=str,
)
def test_axes_that_are_not_there_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"--{next(iter(changes))}"):
        made(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", -1),
        ("learning_rate", 0.0),
        ("logging_steps", 0),
        ("warmup_ratio", 1.5),
        ("warmup_steps", -3),
        ("eval_steps", -5),
        ("decay_steps", 0),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("max_evaluate_steps", 0),
    ],
)
def test_impossible_numbers_are_refused(name: str, value: float) -> None:
    with pytest.raises(RecipeError, match=rf"--{name}\b"):
        made(**{name: value})


def test_the_best_model_needs_checkpoints_to_be_chosen_from() -> None:
    with pytest.raises(RecipeError, match="--save_strategy is no"):
        made(load_best_model_at_end=True, do_eval=True, save_strategy="no")


@pytest.mark.parametrize("steps", [0, -2])
def test_no_steps_are_no_way_to_say_an_epoch(steps: int) -> None:
    with pytest.raises(RecipeError, match=f"--max_steps is {steps}"):
        TrainingOptions(model_name_or_path="m", output_dir="o", max_steps=steps)
