"""Operations of a token, counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_kernels.families import detect, read_sizes
from llm_train.forecast.cost import flops_per_token
from llm_train.loop.flops import Work, measured_peak


def test_a_llama_is_counted_as_by_hand(golden: Path) -> None:
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    spec = detect(config)
    sizes = read_sizes(spec, config)
    width, kv = sizes.hidden, sizes.kv_heads * sizes.head_dim
    block = 2 * width * width + 2 * width * kv + 3 * width * sizes.mlp
    by_hand = 6 * (sizes.layers * block + sizes.vocab * width) + 12 * sizes.layers * width * 100
    assert flops_per_token(spec, sizes, 100) == pytest.approx(by_hand)
    work = Work(spec, sizes, peak=1e9)
    assert work.share(1e9 / by_hand / 2, 100) == pytest.approx(0.5)


def test_no_run_is_faster_than_the_peak(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    spec = detect(config)
    work = Work(spec, read_sizes(spec, config), peak=2e9, processes=2)
    speed = 1.06 * 2e9 / flops_per_token(spec, work.sizes, 100)
    assert work.share(speed, 100) == pytest.approx(1.06)
    monkeypatch.setattr("llm_train.loop.flops.measured_peak", lambda: 4e9)
    assert work.raised(speed, 100).peak == 8e9
    monkeypatch.setattr("llm_train.loop.flops.measured_peak", lambda: 1e9)
    assert work.raised(speed, 100).share(speed, 100) == pytest.approx(1)


def test_of_experts_those_count_that_a_token_meets(golden: Path) -> None:
    config = json.loads((golden / "mixtral" / "config.json").read_text())
    spec = detect(config)
    two, one = ({**config, "num_experts_per_tok": count} for count in (2, 1))
    more = flops_per_token(spec, read_sizes(spec, two), 1)
    less = flops_per_token(spec, read_sizes(spec, one), 1)
    sizes = read_sizes(spec, two)
    assert more - less == pytest.approx(6 * sizes.layers * 3 * sizes.hidden * sizes.expert_mlp)


def test_the_peak_is_a_speed() -> None:
    assert 1e8 < measured_peak() < 1e15
