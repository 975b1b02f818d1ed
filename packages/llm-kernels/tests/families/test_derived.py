from __future__ import annotations

from typing import Any

import pytest

from llm_kernels.families import FAMILIES, SLOTS, adaptable_slots, quantization_groups

ATTENTION = (("q", "k", "v"), ("out",))


@pytest.mark.parametrize("family", ["llama", "qwen", "chatglm2", "baichuan-13b"])
def test_gated_families(family: str) -> None:
    assert quantization_groups(FAMILIES[family]) == (*ATTENTION, ("gate", "up"), ("down",))


@pytest.mark.parametrize("family", ["gpt2", "opt", "bloom", "chatglm", "glm"])
def test_plain_families(family: str) -> None:
    assert quantization_groups(FAMILIES[family]) == (*ATTENTION, ("up",), ("down",))


def test_experts() -> None:
    assert quantization_groups(FAMILIES["qwen2-moe"]) == (
        *ATTENTION,
        ("expert_gate", "expert_up", "shared_gate", "shared_up"),
        ("expert_down",),
        ("shared_down",),
    )
    assert quantization_groups(FAMILIES["mixtral"])[2] == ("expert_gate", "expert_up")


def test_dense_layers_of_a_mixture_of_experts() -> None:
    groups = quantization_groups(FAMILIES["qwen2-moe"], dense_layer=True)
    assert groups == (*ATTENTION, ("gate", "up"), ("down",))


@pytest.mark.parametrize("family", FAMILIES)
def test_adaptable_slots_are_exactly_the_adaptable_parameters(
    family: str, random_model: Any
) -> None:
    model = random_model(family)
    present = {key.slot for key in model.parameters if SLOTS[key.slot].adaptable}
    assert set(adaptable_slots(model.spec)) == present
