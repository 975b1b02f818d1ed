"""Options: PaddleNLP's defaults, and sentences for what does not work."""

from __future__ import annotations

from typing import Any

import pytest

from llm_peft.errors import LoraOptionError
from llm_peft.lora.options import REFUSED, LoraOptions


def options(**more: Any) -> LoraOptions:
    return LoraOptions(**{"model_name_or_path": "m", "output_dir": "o", **more})


def test_the_defaults_are_paddlenlps() -> None:
    made = options()
    assert (made.lora_rank, made.alpha, made.lora_dropout) == (8, 16.0, 0.0)
    assert (made.src_length, made.max_length, made.per_device_train_batch_size) == (1024, 2048, 8)
    assert made.target_modules is None
    assert options(lora_rank=3).alpha == 6.0
    assert options(rslora=True, lora_rank=64).alpha == 4.0
    assert options(lora_alpha=5.0, rslora=True).alpha == 5.0


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_there_yet_is_refused(name: str) -> None:
    value = "nf4" if name == "weight_quantize_algo" else True
    with pytest.raises(LoraOptionError, match=f"--{name} {value}: this version has no"):
        options(**{name: value})


@pytest.mark.parametrize("name", ["lora", "continue_training"])
def test_an_adapter_needs_a_base(name: str) -> None:
    with pytest.raises(LoraOptionError, match=f"--{name} false.*llm train sft"):
        options(**{name: False})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_rank", 0),
        ("lora_alpha", 0.0),
        ("lora_alpha", float("nan")),
        ("lora_dropout", 1.0),
        ("lora_dropout", -0.1),
        ("lora_plus_scale", -1.0),
        ("neftune_noise_alpha", 0.0),
    ],
)
def test_numbers_out_of_range_name_the_option(name: str, value: float) -> None:
    with pytest.raises(LoraOptionError, match=f"--{name} is {value}"):
        options(**{name: value})


def test_the_checks_of_training_still_hold() -> None:
    with pytest.raises(ValueError, match="--eval_with_do_generation"):
        options(eval_with_do_generation=True)
    with pytest.raises(ValueError, match="--sep_parallel_degree"):
        options(sep_parallel_degree=2)
    assert options(bf16=True).bf16
