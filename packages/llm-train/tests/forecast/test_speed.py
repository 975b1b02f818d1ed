"""Seconds of a step: products, elements and calls, each by hand where it stands alone."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llm_kernels.families import detect, read_sizes
from llm_train.forecast.cost import flops_per_token
from llm_train.forecast.forecast import forecast
from llm_train.forecast.speed import Cost, Pace, micro_cost, step_cost
from llm_train.parallel.layout import ONE, Layout
from llm_train.pretrain.options import PretrainOptions

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "vocab_size": 500, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip
SPEC = detect(CONFIG)
SIZES = read_sizes(SPEC, CONFIG)
PRODUCTS, ELEMENTS, CALLS = (
    Pace(1e9, math.inf, 0),
    Pace(math.inf, 1e9, 0),
    Pace(math.inf, math.inf, 1e-6),
)


def speed(pace: Pace, processes: int = 1, config: dict[str, Any] = CONFIG, **changes: Any) -> float:
    settings = {"max_seq_length": 64, "per_device_train_batch_size": 4, **changes}
    options = PretrainOptions(model_name_or_path="m", output_dir="o", **settings)
    return forecast(options, config, processes, pace).tokens_per_s


def test_a_cost_is_the_sum_of_its_parts() -> None:
    assert Cost(6.0, 10.0, 2.0).seconds(Pace(3.0, 5.0, 0.5)) == pytest.approx(2 + 2 + 1)


def test_products_alone_are_the_operations_of_the_tokens() -> None:
    by_hand = 1e9 / flops_per_token(SPEC, SIZES, 64)
    assert by_hand / 1.5 < speed(PRODUCTS) < by_hand
    assert speed(PRODUCTS, per_device_train_batch_size=8) == pytest.approx(speed(PRODUCTS))


def test_short_rows_are_slower_where_calls_are_waited_for() -> None:
    options = PretrainOptions(model_name_or_path="m", output_dir="o", max_seq_length=64)
    full, short = (forecast(options, CONFIG, 1, CALLS, length) for length in (None, 16))
    assert short.tokens_per_s == pytest.approx(full.tokens_per_s / 4)
    assert short.memory == full.memory


def test_a_model_that_waits_for_calls_trains_on_a_larger_batch_as_fast() -> None:
    twice = speed(CALLS, per_device_train_batch_size=8)
    assert twice == pytest.approx(2 * speed(CALLS))
    slower = Pace(math.inf, math.inf, 2e-6)
    assert speed(slower) == pytest.approx(speed(CALLS) / 2)
    deeper = {**CONFIG, "num_hidden_layers": 8}
    assert speed(CALLS, config=deeper) == pytest.approx(speed(CALLS) / 2, rel=0.1)


def test_the_optimizer_comes_once_a_step() -> None:
    many = speed(ELEMENTS, gradient_accumulation_steps=64)
    assert speed(ELEMENTS) < speed(ELEMENTS, gradient_accumulation_steps=4) < many
    micro = micro_cost(SPEC, SIZES, ONE, batch=4, tokens=64, recompute=False)
    assert many == pytest.approx(4 * 64 * 1e9 / micro.elements, rel=0.02)


def test_ranks_share_the_work_and_wait_for_their_own_calls() -> None:
    settings = {"batch": 4, "tokens": 64, "recompute": False}
    alone = micro_cost(SPEC, SIZES, ONE, **settings)
    tensor = micro_cost(SPEC, SIZES, Layout(tensor=2), **settings)
    stages = micro_cost(SPEC, SIZES, Layout(pipeline=2), **settings)
    for shared in (tensor, stages):
        assert shared.operations == alone.operations / 2
        assert shared.elements == alone.elements / 2
    assert (tensor.calls, stages.calls) == (alone.calls, alone.calls / 2)
    whole = step_cost(SPEC, SIZES, ONE)
    assert step_cost(SPEC, SIZES, Layout(sharding=2, stage=1)).elements == whole.elements / 2
    assert speed(PRODUCTS, processes=2) == pytest.approx(2 * speed(PRODUCTS))


def test_processes_share_a_machine() -> None:
    assert Pace(8.0, 4.0, 1.0).shared(2, 4) == Pace(4.0, 4.0, 1.0)
    assert Pace(8.0, 4.0, 1.0).shared(4, 2) == Pace(2.0, 2.0, 2.0)
