"""Which numbers a run computes in."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paddle
import pytest

from llm_kernels.families import detect, read_sizes
from llm_train.errors import RecipeError
from llm_train.loop.precision import (
    FULL,
    Precision,
    choose_precision,
    in_float32,
    without_flash,
)
from llm_train.training_options import TrainingOptions


def made(**changes: Any) -> TrainingOptions:
    return TrainingOptions(**{"model_name_or_path": "m", "output_dir": "o", **changes})


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: True)
    monkeypatch.setattr(paddle.amp, "is_float16_supported", lambda: True)
    monkeypatch.setattr(paddle.device.cuda, "get_device_capability", lambda: (7, 5))


@pytest.mark.parametrize("wished", [{"bf16": True}, {"fp16": True}])
def test_a_cpu_stays_in_float32_and_says_so(wished: dict[str, bool]) -> None:
    assert choose_precision(made(**wished), "cpu") is FULL
    said = in_float32(made(**wished), "cpu")
    assert said is not None
    assert said.startswith(next(iter(wished)))
    assert in_float32(made(**wished), "gpu") is None


def test_without_a_wish_it_is_float32_everywhere(able: None) -> None:
    assert in_float32(made(), "cpu") is None
    assert choose_precision(made(), "gpu") is FULL
    assert choose_precision(made(bf16=True, fp16_opt_level="O0"), "gpu") is FULL
    assert not FULL.mixed


def test_the_levels_say_what_is_in_16_bits(able: None) -> None:
    first = choose_precision(made(bf16=True), "gpu")
    assert (first.dtype, first.stream) == ("bfloat16", "float32")
    second = choose_precision(made(fp16=True, fp16_opt_level="O2"), "gpu")
    assert (second.dtype, second.stream) == ("float16", "float16")
    assert second.scales_loss
    assert not first.scales_loss
    listed = choose_precision(made(bf16=True, amp_custom_black_list=["matmul"]), "gpu")
    assert listed.float32_operations == ("matmul",)
    assert not choose_precision(made(bf16=True, use_flash_attention=True), "gpu").flash


def test_a_gpu_without_the_type_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda: False)
    with pytest.raises(RecipeError, match="--fp16 true"):
        choose_precision(made(bf16=True), "gpu")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bf16": True, "fp16": True}, "--bf16 true and --fp16 true"),
        ({"scale_loss": 1000.0}, "power of two"),
        ({"scale_loss": 0.5}, "power of two"),
        ({"amp_custom_black_list": ["a", "b"], "amp_custom_white_list": ["b"]}, "^b: in"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        made(**wrong)


def decoder_of(family: str, golden: Path) -> SimpleNamespace:
    config = json.loads((golden / family / "config.json").read_text(encoding="utf-8"))
    spec = detect(config)
    return SimpleNamespace(spec=spec, sizes=read_sizes(spec, config), stream=None, flash=None)


def test_decoders_follow_the_precision_for_as_long_as_it_is_wished(golden: Path) -> None:
    decoder = decoder_of("llama_v2_gqa", golden)
    Precision("bfloat16", "bfloat16", flash=True).prepare([decoder])
    assert (decoder.stream, decoder.flash) == ("bfloat16", "bfloat16")
    FULL.prepare([decoder])
    assert (decoder.stream, decoder.flash) == (None, None)


def test_flash_attention_that_is_not_there_is_named(golden: Path) -> None:
    llama, bloom = decoder_of("llama_v2_gqa", golden), decoder_of("bloom", golden)
    wished, mixed = made(use_flash_attention=True), Precision("bfloat16", flash=True)
    assert "compute capability 8.0" in (without_flash(wished, Precision("bfloat16"), [llama]) or "")
    assert without_flash(made(), FULL, [llama]) is None
    assert "16-bit" in (without_flash(wished, FULL, [llama]) or "")
    assert without_flash(wished, mixed, [llama]) is None
    assert "this model's attention" in (without_flash(wished, mixed, [bloom]) or "")
