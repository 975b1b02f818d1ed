"""Which weights are rounded, how far, and how large they are then."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_infer.quantize import (
    packed_bytes,
    quantizable,
    to_int4,
    to_int8,
    with_bfloat16_inputs,
    with_bfloat16_weights,
    with_quantized_linears,
    with_rounded_inputs,
)
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight

KEYS = {
    "embed.weight": False,
    "head.weight": False,
    "layers.0.q.weight": True,
    "layers.0.q.bias": False,
    "layers.0.attn_norm.weight": False,
    "layers.1.experts.2.expert_gate.weight": True,
    "layers.1.router.weight": False,
}


@pytest.mark.parametrize("name", KEYS)
def test_linears_of_layers_only(name):
    assert quantizable(ParameterKey.parse(name)) is KEYS[name]


@pytest.mark.parametrize(("width", "group"), [(256, 128), (192, 64), (96, 32), (172, 172)])
def test_groups_are_the_largest_that_fit(width, group):
    dense = np.random.default_rng(1).standard_normal((6, width)).astype(np.float32)
    weight = to_int4(dense)
    assert weight.group_size == group
    step = np.abs(dense.reshape(6, -1, group)).max(-1) / 7
    error = np.abs(weight.dequantize() - dense).reshape(6, -1, group).max(-1)
    assert (error <= step / 2 + 1e-6).all()
    assert packed_bytes(weight) == 6 * width // 2 + 6 * (width // group) * 4
    assert packed_bytes(to_int8(dense)) == 6 * width + 6 * 4
    assert packed_bytes(dense.astype(np.float16)) == 6 * width * 4


def test_what_is_quantized_already_stays():
    dense = np.ones((4, 64), np.float32)
    stored = Int4Weight.from_dense(dense, 32)
    get = with_quantized_linears(
        lambda key: stored if key.slot == "q" else dense, "weight_only_int8"
    )
    assert get(ParameterKey("q", 0)) is stored
    assert get(ParameterKey("k", 0)).dequantize() == pytest.approx(dense)
    assert get(ParameterKey("embed")) is dense


def test_bfloat16_is_for_every_dense_matrix():
    dense = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    stored = Int4Weight.from_dense(dense, 32)
    get = with_bfloat16_weights(
        lambda key: {"q": stored, "attn_norm": dense[0]}.get(key.slot, dense)
    )
    for slot in ("embed", "head", "k", "positions"):
        assert get(ParameterKey(slot)).dtype == "bfloat16"
        assert packed_bytes(get(ParameterKey(slot))) == 4 * 64 * 2
    assert get(ParameterKey("q", 0)) is stored
    assert get(ParameterKey("attn_norm", 0)).dtype == np.float32


def test_only_integers_meet_rounded_inputs():
    dense = np.ones((4, 64), np.float32)
    stored = Int4Weight.from_dense(dense, 32)
    get = with_rounded_inputs(lambda key: stored if key.slot == "q" else dense, "int8_block")
    assert get(ParameterKey("q", 0)).weight is stored
    assert get(ParameterKey("k", 0)) is dense


def test_linears_in_bfloat16_meet_inputs_in_bfloat16():
    narrow = np.ones((4, 64), ml_dtypes.bfloat16)
    stored = Int4Weight.from_dense(np.ones((4, 64), np.float32), 32)
    get = with_bfloat16_inputs(lambda key: stored if key.slot == "q" else narrow)
    assert get(ParameterKey("k", 0)).rounding.kind == "bfloat16"
    assert get(ParameterKey("k", 0)).weight is narrow
    turned = np.arange(12, dtype=ml_dtypes.bfloat16).reshape(4, 3).T
    kept = with_bfloat16_inputs(lambda _: turned)(ParameterKey("k", 0)).weight
    assert kept.flags.c_contiguous
    np.testing.assert_array_equal(kept, turned)
    assert get(ParameterKey("embed")) is narrow
    assert get(ParameterKey("q", 0)) is stored
