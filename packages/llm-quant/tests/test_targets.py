"""Which linears are quantized, and what is said of a group size that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_kernels.families import FamilySpec, Sizes, detect, read_sizes
from llm_quant.errors import GroupSizeError, QuantError
from llm_quant.targets import legal_group_sizes, quantized_linears


def family(golden: Path, name: str) -> tuple[FamilySpec, Sizes]:
    config = json.loads((golden / name / "config.json").read_text())
    spec = detect(config)
    return spec, read_sizes(spec, config)


def test_linears_of_the_layers_in_forward_order(golden: Path) -> None:
    chosen = quantized_linears(*family(golden, "llama_v2_gqa"), [], -1)
    names = [key.name for key in chosen]
    assert len(names) == 3 * 7
    assert names[:7] == [
        f"layers.0.{s}.weight" for s in ("q", "k", "v", "out", "gate", "up", "down")
    ]
    assert chosen[next(key for key in chosen if key.slot == "down")] == (64, 172)


def test_experts_are_quantized_and_routers_are_not(golden: Path) -> None:
    slots = {key.slot for key in quantized_linears(*family(golden, "qwen2_moe"), [], 8)}
    assert {"expert_gate", "expert_down", "shared_up"} <= slots
    assert not slots & {"router", "shared_router", "head", "embed"}


def test_skip_takes_slots_and_parts_of_names(golden: Path) -> None:
    chosen = quantized_linears(*family(golden, "llama_v2_gqa"), ["down", "layers.1."], 32)
    assert {key.layer for key in chosen} == {0, 2}
    assert "down" not in {key.slot for key in chosen}
    # A slot is matched whole: "up" is no part of anything else, and "o" matches nothing.
    with pytest.raises(QuantError, match=r"--skip_list_names o matches no linear.*\(q, k, v, out"):
        quantized_linears(*family(golden, "llama_v2_gqa"), ["o"], 32)


def test_skipping_everything_is_refused(golden: Path) -> None:
    with pytest.raises(QuantError, match="leaves no linear"):
        quantized_linears(*family(golden, "llama_v2_gqa"), ["layers."], 32)


def test_a_group_size_that_does_not_fit_names_linear_width_and_legal_sizes(golden: Path) -> None:
    with pytest.raises(GroupSizeError) as caught:
        quantized_linears(*family(golden, "llama_v2_gqa"), [], 32)
    told = str(caught.value)
    assert "--group_size 32" in told
    assert "down (K = 172)" in told
    assert "layers.0.down.weight" in told
    assert "linear: -1;" in told
    assert caught.value.exit_code == 2


def test_legal_group_sizes_divide_all_widths() -> None:
    assert legal_group_sizes([64, 160]) == [32, 16, 8, -1]
    assert legal_group_sizes([4096, 11008]) == [256, 128, 64, 32, 16, 8, -1]
    assert legal_group_sizes([172]) == [-1]
