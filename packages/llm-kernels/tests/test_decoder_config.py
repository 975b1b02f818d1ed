from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from llm_kernels import decoder_config
from llm_kernels.decoder_config import native_config, unsupported
from llm_kernels.families import (
    FAMILIES,
    Alibi,
    Attention,
    DynamicScaling,
    Learned,
    LongScaling,
    Sizes,
)
from llm_kernels.reference import alibi_slopes, bfloat16


@dataclass(frozen=True)
class LaterAttention(Attention):
    """An attention with an axis that the decoder has never heard of."""

    sinks: int = 0


@dataclass(frozen=True)
class LaterSizes(Sizes):
    """Sizes with a field that the decoder has never heard of."""

    sink_tokens: int = 0


@pytest.mark.parametrize(
    "family",
    [
        *["llama", "qwen", "qwen2", "qwen2-moe", "qwen3-moe", "mixtral", "gpt2", "opt", "bloom"],
        *["chatglm", "chatglm2", "glm", "glm4", "glm4-0414", "falcon", "falcon-grouped"],
        *["falcon-grouped-shared", "rw", "gemma", "gemma2", "phi3"],
        *["deepseek-v2", "deepseek-v2-lite", "deepseek-v3", "deepseek-v3-lite"],
    ],
)
def test_these_families_are_computed(random_model: Callable[..., Any], family: str) -> None:
    model = random_model(family)
    assert unsupported(model.spec, model.sizes) == []
    assert native_config(model.spec, model.sizes)["heads"] == model.sizes.heads


def test_an_axis_added_later_is_refused_once_it_is_used(random_model: Callable[..., Any]) -> None:
    model = random_model("llama")
    unused = replace(model.spec, attention=LaterAttention())
    used = replace(model.spec, attention=LaterAttention(sinks=4))
    sizes = LaterSizes(**{**vars(model.sizes), "sink_tokens": 2})
    # a type of its own is unknown as a whole, so it is registered here as the real one would be
    with pytest.MonkeyPatch.context() as patch:
        known = dict(decoder_config._COMPUTED)
        known |= {LaterAttention: known[Attention], LaterSizes: known[Sizes]}
        patch.setattr(decoder_config, "_COMPUTED", known)
        assert unsupported(unused, model.sizes) == []
        assert unsupported(used, sizes) == ["attention.sinks = 4", "sizes.sink_tokens = 2"]


def test_a_position_of_another_kind_is_refused(random_model: Callable[..., Any]) -> None:
    @dataclass(frozen=True)
    class Spiral:
        turns: int = 3

    model = random_model("llama")
    lacking = unsupported(replace(model.spec, position=Spiral()), model.sizes)
    assert lacking == ["positions of the kind Spiral"]


def test_another_stretch_of_the_frequencies_is_refused(random_model: Callable[..., Any]) -> None:
    class Spline:
        pass

    model = random_model("llama")
    lacking = unsupported(model.spec, replace(model.sizes, rope_scaling=Spline()))
    assert lacking == ["rotary frequencies stretched by Spline"]


def test_positions(random_model: Callable[..., Any]) -> None:
    for family, spec in FAMILIES.items():
        model = random_model(family)
        if unsupported(spec, model.sizes):
            continue
        config = native_config(spec, model.sizes)
        assert bool(config["alibi_slopes"]) == isinstance(spec.position, Alibi)
        learned = isinstance(spec.position, Learned)
        assert config["position_offset"] == (spec.position.offset if learned else 0)
        assert bool(config["inverse_frequency"]) == (not learned and not config["alibi_slopes"])


def test_slopes_are_rounded_and_scaled_as_the_family_does(
    random_model: Callable[..., Any],
) -> None:
    model = random_model("rw")
    slopes = alibi_slopes(4)

    def found(position: Alibi) -> tuple[list[float], float]:
        config = native_config(replace(model.spec, position=position), model.sizes)
        return config["alibi_slopes"], config["alibi_rounded_scale"]

    scale = 8**-0.5
    assert found(Alibi()) == (slopes.tolist(), 0.0)
    assert found(Alibi(scaled=True))[0] == pytest.approx(slopes * scale)
    assert found(Alibi(rounded=True)) == (bfloat16(slopes).tolist(), 1.0)
    assert found(Alibi(scaled=True, rounded=True))[1] == pytest.approx(scale)


def test_latent_attention_and_its_experts(random_model: Callable[..., Any]) -> None:
    v3 = native_config(random_model("deepseek-v3").spec, random_model("deepseek-v3").sizes)
    assert (v3["q_rank"], v3["kv_rank"], v3["value_dim"], v3["rope_first"]) == (12, 10, 6, 6)
    assert (v3["sigmoid_scores"], v3["expert_groups"], v3["group_best"]) == (True, 3, 2)
    assert (v3["open_groups"], v3["routed_scale"]) == (2, 1.5)
    model = random_model("deepseek-v2-lite")
    lite = native_config(model.spec, model.sizes)
    assert (lite["q_rank"], lite["sigmoid_scores"], lite["group_best"]) == (0, False, 1)


def test_another_way_of_latent_attention_is_refused(random_model: Callable[..., Any]) -> None:
    model = random_model("deepseek-v3")
    attention = replace(model.spec.attention, latent="kvq")
    assert unsupported(replace(model.spec, attention=attention), model.sizes) == [
        "attention.latent = 'kvq'"
    ]


def test_frequencies_that_follow_the_length(random_model: Callable[..., Any]) -> None:
    def config(family: str, **changes: Any) -> dict[str, Any]:
        model = random_model(family, **changes)
        return native_config(model.spec, model.sizes)

    plain = config("llama")
    assert (plain["stage_lengths"], plain["dynamic_length"], plain["logn_length"]) == ([], 0, 0)
    qwen = config("qwen", max_positions=99)
    assert qwen["stage_lengths"][:3] == [99, 198, 396]
    assert len(qwen["stage_frequencies"]) == len(qwen["stage_lengths"]) * 4
    assert qwen["logn_length"] == 99
    grown = config("llama", rope_scaling=DynamicScaling(2.0, 50), max_positions=99)
    assert (grown["dynamic_length"], grown["dynamic_factor"]) == (50, 2.0)
    scaling = LongScaling((1.0,) * 4, (2.0,) * 4, 32, 1.1)
    long = config("phi3", rope_scaling=scaling, max_positions=99)
    assert long["stage_lengths"] == [32]
    assert long["stage_frequencies"] == pytest.approx(np.array(long["inverse_frequency"]) / 2)
