"""Forecasts: exact where things can be counted, sensible where they are estimated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.forecast.forecast import forecast, free_memory, proposal
from llm_train.forecast.memory import STARTED
from llm_train.forecast.speed import Pace
from llm_train.pretrain.options import PretrainOptions

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
    "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
    "intermediate_size": 688, "vocab_size": 4000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip
PACE = Pace(1e10, 1e9, 1e-6)
WEIGHTS = 2 * 4000 * 256 + 256 + 4 * (2 * 256 + 256 * (256 + 128 + 128 + 256) + 3 * 256 * 688)


def options(**changes: Any) -> PretrainOptions:
    base = {"max_seq_length": 256, "per_device_train_batch_size": 8, "save_strategy": "no"}
    return PretrainOptions(model_name_or_path="m", output_dir="o", **{**base, **changes})


def test_weights_gradients_and_moments_are_counted_exactly() -> None:
    memory = forecast(options(), CONFIG, 1, PACE).memory
    assert (memory.weights, memory.gradients) == (4 * WEIGHTS, 4 * WEIGHTS)
    assert memory.moments == 8 * WEIGHTS
    assert memory.total > STARTED + 16 * WEIGHTS


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"sharding": "stage1"}, (4, 4, 4)),
        ({"sharding": "stage2"}, (4, 2, 4)),
        ({"sharding": "stage3"}, (3, 2, 4)),
    ],
    ids=str,
)
def test_sharding_takes_its_part(changes: dict[str, Any], parts: tuple[int, int, int]) -> None:
    memory = forecast(options(**changes), CONFIG, 2, PACE).memory
    found = (memory.weights, memory.gradients, memory.moments)
    assert found == pytest.approx([part * WEIGHTS for part in parts], rel=1e-3)


def test_ranks_that_share_layers_hold_about_half() -> None:
    alone = forecast(options(), CONFIG, 1, PACE).memory
    tensor = forecast(options(tensor_parallel_degree=2), CONFIG, 2, PACE).memory
    stages = forecast(options(pipeline_parallel_degree=2), CONFIG, 2, PACE).memory
    assert 0.5 <= tensor.weights / alone.weights < 0.51
    assert 0.45 < stages.weights / alone.weights < 0.55


def test_less_is_kept_when_blocks_are_recomputed() -> None:
    pace = Pace(1e10, math.inf, 0.0)
    whole = forecast(options(), CONFIG, 1, pace)
    less = forecast(options(recompute=True), CONFIG, 1, pace)
    assert less.memory.activations < whole.memory.activations / 2
    assert less.tokens_per_s == pytest.approx(whole.tokens_per_s * 3 / 4)


def test_a_pipeline_waits_at_both_ends_of_a_step() -> None:
    def speed(**changes: Any) -> float:
        made = options(pipeline_parallel_degree=2, gradient_accumulation_steps=4, **changes)
        return forecast(made, CONFIG, 2, PACE).tokens_per_s

    assert speed() < speed(virtual_pp_degree=2)


def test_disk_is_the_model_and_the_checkpoints_that_are_kept() -> None:
    def disk(**changes: Any) -> float:
        return forecast(options(**changes), CONFIG, 1, PACE).disk / (4 * WEIGHTS)

    assert disk() == 1
    kept = {"save_strategy": "steps", "save_steps": 10, "max_steps": 50}
    assert disk(**kept) == 1 + 3 * 5
    assert disk(**kept, save_total_limit=2) == 1 + 3 * 3


def test_what_is_proposed_fits_and_trains_on_as_many_samples() -> None:
    need = forecast(options(), CONFIG, 1, PACE).memory_here
    assert proposal(options(), CONFIG, 1, need) == {}
    changes = proposal(options(), CONFIG, 1, need - int(0.6 * (need - STARTED)))
    assert changes is not None
    changed = options(**changes)
    assert changed.batch_size == options().batch_size
    assert forecast(changed, CONFIG, 1, PACE).memory_here <= need - 0.6 * (need - STARTED)
    assert proposal(options(), CONFIG, 1, STARTED) is None


def test_a_layout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(RecipeError, match="does not fit 3 processes"):
        forecast(options(tensor_parallel_degree=2), CONFIG, 3, PACE)


def test_this_machine_has_memory() -> None:
    assert free_memory() > 10**8


def test_memory_is_what_the_control_group_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_train.forecast.forecast.available", lambda: 12345)
    assert free_memory() == 12345
    monkeypatch.setattr("llm_train.forecast.forecast.available", lambda: None)
    with pytest.raises(RecipeError, match="--memory_gb"):
        free_memory()


@pytest.mark.parametrize("family", ["bloom", "qwen2_moe", "deepseek_v3", "gpt2"])
def test_every_kind_of_family_is_counted(family: str, golden: Path) -> None:
    config = json.loads((golden / family / "config.json").read_text())
    made = forecast(options(tensor_parallel_degree=2), config, 2, PACE)
    assert made.memory.weights > 0
    assert made.tokens_per_s > 0
