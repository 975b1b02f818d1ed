"""A decoder whose weights are not whole is refused before a step could read beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llm_kernels import decoder as module
from llm_kernels.decoder_config import native_config
from llm_kernels.errors import ShapeError
from llm_kernels.native import extension

CACHE: dict[str, Any] = {
    "num_blocks": 2,
    "block_size": 16,
    "max_batch_tokens": 16,
    "cache_layout": 0,
    "key_scales": [],
    "value_scales": [],
}


def empty(model: Any, **changes: Any) -> Any:
    config = native_config(model.spec, model.sizes) | CACHE | changes
    return extension().Decoder(config, "scalar", 1)


def fill(decoder: Any, model: Any, leave_out: str = "", cut: str = "") -> None:
    """All of LLaMA's weights but slot `leave_out`, and one row less of slot `cut`."""
    for key, value in model.parameters.items():
        if key.slot == leave_out:
            continue
        layer = -1 if key.layer is None else key.layer
        given = value[:-1].copy() if key.slot == cut else value
        if key.slot.endswith("norm"):
            decoder.add_norm(key.slot, layer, given, None)
        elif key.slot == "embed":
            decoder.add_table(key.slot, given)
        else:
            decoder.add_float32(key.slot, layer, -1, given, None)


def step(decoder: Any) -> Any:
    one, first = np.array([1], np.int32), np.array([0], np.int32)
    starts = np.array([0, 1], np.int32)
    return decoder.step(first, first, None, starts, one, None, first[None], first, None, None)


SLOTS = ["embed", "head", "q", "k", "v", "out", "gate", "up", "down", "attn_norm", "mlp_norm"]


@pytest.mark.parametrize("slot", SLOTS)
def test_a_missing_weight_is_named(random_model: Callable[..., Any], slot: str) -> None:
    model = random_model("llama")
    decoder = empty(model)
    fill(decoder, model, leave_out=slot)
    if slot in {"gate", "up", "embed"}:  # an MLP without a gate, and a tied head, are whole too
        decoder.seal()
        assert np.isfinite(step(decoder)).all()
        return
    with pytest.raises(ValueError, match=rf"not whole: .*{slot}"):
        decoder.seal()
    with pytest.raises(ValueError, match="seal it before a step"):
        step(decoder)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_weight_of_another_shape_is_named(random_model: Callable[..., Any], slot: str) -> None:
    model = random_model("llama")
    decoder = empty(model)
    fill(decoder, model, cut=slot)
    with pytest.raises(ValueError, match=rf"not whole: .*({slot}|down)"):
        decoder.seal()


def test_a_step_before_and_a_weight_after_the_seal_are_refused(
    random_model: Callable[..., Any],
) -> None:
    model = random_model("llama")
    decoder = empty(model)
    fill(decoder, model)
    with pytest.raises(ValueError, match="seal it before a step"):
        step(decoder)
    decoder.seal()
    assert step(decoder).shape == (1, model.sizes.vocab)
    with pytest.raises(ValueError, match="takes no more weights"):
        fill(decoder, model)


def test_an_adapter_before_the_seal_is_refused(random_model: Callable[..., Any]) -> None:
    """Without weights there is no linear to stand beside."""
    model = random_model("llama")
    decoder = empty(model)
    a, b = np.zeros((2, 24), np.float32), np.zeros((2, 32), np.float32)
    with pytest.raises(ValueError, match="after the last weight"):
        decoder.add_adapter("q", 0, 0, a, b)
    fill(decoder, model)
    decoder.seal()
    decoder.add_adapter("q", 0, 0, a, b)
    with pytest.raises(ValueError, match="no layer 2"):
        decoder.add_adapter("q", 2, 0, a, b)


def test_experts_that_are_missing_are_counted(random_model: Callable[..., Any]) -> None:
    model = random_model("mixtral")
    decoder = empty(model)
    for key, value in model.parameters.items():
        where = (key.slot, -1 if key.layer is None else key.layer)
        if key.slot.endswith("norm"):
            decoder.add_norm(*where, value, None)
        elif key.slot == "embed":
            decoder.add_table(key.slot, value)
        elif key.expert != model.sizes.experts - 1:
            expert = -1 if key.expert is None else key.expert
            decoder.add_float32(*where, expert, value, None)
    with pytest.raises(ValueError, match="in layer 0 experts are 4 instead of 5"):
        decoder.seal()


@pytest.mark.parametrize("layer", [2, 99, 2**31 - 1])
def test_a_weight_of_a_layer_that_is_not_there_is_refused(
    random_model: Callable[..., Any], layer: int
) -> None:
    decoder = empty(random_model("mixtral"))
    weight = np.ones((24, 24), np.float32)
    before = decoder.weight_bytes
    cause = rf"no layer {layer}; the model has 2"
    with pytest.raises(ValueError, match=cause):
        decoder.add_float32("out", layer, -1, weight, None)
    with pytest.raises(ValueError, match=cause):
        decoder.add_norm("attn_norm", layer, weight[0], None)
    with pytest.raises(ValueError, match=cause):
        decoder.add_vector("router_correction", layer, weight[0])
    assert decoder.weight_bytes == before


@pytest.mark.parametrize("expert", [5, 2**31 - 1])
def test_an_expert_that_is_not_there_is_refused(
    random_model: Callable[..., Any], expert: int
) -> None:
    decoder = empty(random_model("mixtral"))
    with pytest.raises(ValueError, match=rf"no expert {expert}; the model has 5"):
        decoder.add_float32("expert_up", 0, expert, np.ones((12, 24), np.float32), None)
    with pytest.raises(ValueError, match="no linear slot 'expert_other'"):
        decoder.add_float32("expert_other", 0, 0, np.ones((12, 24), np.float32), None)


NUMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"heads": 0, "alibi_slopes": []}, "heads is 0"),
    "kv_heads": ({"kv_heads": 0}, "kv_heads is 0"),
    "head_dim": ({"head_dim": 0}, "head_dim is 0"),
    "groups": ({"kv_heads": 3}, "no multiple"),
    "windows": ({"windows": [0]}, "windows are not one a layer"),
    "slopes": ({"alibi_slopes": [0.5]}, "alibi_slopes are not one a head"),
    "pairs": ({"inverse_frequency": [1.0] * 5}, "too many for its head_dim"),
    "activation": ({"activation": 77}, "activation is unknown"),
    "value_dim": ({"value_dim": 0}, "value_dim is 0"),
    "layout": ({"cache_layout": 4}, "cache_layout is unknown"),
    "scales": ({"cache_layout": 2, "key_scales": [1.0]}, "key_scales and value_scales are not one"),
    "no-scales": ({"key_scales": [1.0] * 4, "value_scales": [1.0] * 4}, "and none of another"),
    "zero": (
        {"cache_layout": 2, "key_scales": [1.0] * 4, "value_scales": [1.0, 0.0, 1.0, 1.0]},
        "scales of the cache are not all above 0",
    ),
    "stages": ({"stage_lengths": [9, 4], "stage_frequencies": [1.0] * 8}, "do not rise"),
    "stage-rows": ({"stage_lengths": [9]}, "or stage_frequencies are not a row of each"),
    "dynamic": ({"dynamic_factor": 0.5}, "dynamic_factor is below 1"),
    "logn": ({"logn_length": 1}, "logn_length is 1"),
    "latent": ({"kv_rank": 4}, "heads of latent attention are not each their own"),
    "narrow-q": ({"q_rank": 4}, "q_rank belongs to latent attention alone"),
    "groups-of-experts": ({"expert_groups": 2, "open_groups": 3}, "groups of experts are none"),
    "negative": ({"hidden": -2}, "hidden is -2"),
}


@pytest.mark.parametrize(("change", "cause"), NUMBERS.values(), ids=NUMBERS.keys())
def test_numbers_that_contradict_each_other_are_refused(
    random_model: Callable[..., Any], change: dict[str, Any], cause: str
) -> None:
    with pytest.raises(ValueError, match=cause):
        empty(random_model("llama"), **change)


def test_the_python_decoder_reports_it(
    random_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("llama")
    whole = module.parameters(model.spec, model.sizes)
    lacking = {key: shape for key, shape in whole.items() if key.slot != "out"}
    monkeypatch.setattr(module, "parameters", lambda *_: lacking)
    with pytest.raises(ShapeError, match="not whole: in layer 0 out came 0 times"):
        module.NativeDecoder(
            model.spec, model.sizes, model.parameters.__getitem__, num_blocks=1, threads=1
        )
