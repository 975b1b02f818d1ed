"""Activations and the mixture of experts against the NumPy reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import paddle
import pytest
from paddle import nn

from llm_kernels.families import FAMILIES, Moe, Sizes
from llm_kernels.paddle.layers import DENSE
from llm_kernels.paddle.mlp import Correction, Expert, activate, gate, mix_experts, route
from llm_kernels.reference import ACTIVATIONS
from llm_kernels.reference import route as expected_route

SIZES = Sizes(
    hidden=6, layers=1, heads=1, kv_heads=1, head_dim=4, mlp=5, vocab=7, eps=1e-5,
    experts=4, experts_per_token=2, expert_mlp=3,
)  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ACTIVATIONS))
def test_activations_are_the_references(kind: str) -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32) * 3
    actual = activate(kind, paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(actual, ACTIVATIONS[kind](x), atol=2e-6)
    gated = gate(kind, paddle.to_tensor(x), paddle.to_tensor(y)).numpy()
    np.testing.assert_allclose(gated, ACTIVATIONS[kind](x) * y, atol=5e-6)


@pytest.mark.parametrize("renormalize", [False, True])
def test_every_row_gets_its_own_experts(renormalize: bool) -> None:
    sizes = replace(SIZES, renormalize=renormalize)
    paddle.seed(1)
    router = nn.Linear(6, 4, bias_attr=False)
    experts = nn.LayerList([Expert(FAMILIES["mixtral"], sizes, DENSE) for _ in range(4)])
    rows = paddle.randn([9, 6])
    mixed = mix_experts(rows, *route(router(rows), Moe(), sizes, None), experts).numpy()
    logits = router(rows).numpy().astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for row in range(9):
        chosen = np.argsort(-shares[row])[:2]
        weights = shares[row, chosen]
        weights = weights / weights.sum() if renormalize else weights
        answers = [experts[int(e)](rows[row : row + 1]).numpy()[0] for e in chosen]
        np.testing.assert_allclose(mixed[row], weights @ np.stack(answers), atol=1e-6)


def test_an_expert_that_nobody_chose_gets_no_gradient() -> None:
    router = nn.Linear(6, 4, bias_attr=False)
    router.weight.set_value(np.tile(np.array([9.0, 8.0, -9.0, -9.0], np.float32), (6, 1)))
    experts = nn.LayerList([Expert(FAMILIES["mixtral"], SIZES, DENSE) for _ in range(4)])
    rows = paddle.ones([3, 6])
    mix_experts(rows, *route(router(rows), Moe(), SIZES, None), experts).sum().backward()
    assert [expert.expert_up.weight.grad is None for expert in experts] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "moe",
    [
        Moe("sigmoid"),
        Moe("sigmoid", corrected=True),
        Moe(groups="best"),
        Moe("sigmoid", groups="best_two", corrected=True, scaled=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("renormalize", [False, True])
def test_the_choice_is_the_references(moe: Moe, renormalize: bool) -> None:
    sizes = replace(SIZES, experts=12, experts_per_token=3, renormalize=renormalize)
    if moe.groups != "none":
        sizes = replace(sizes, groups=4, groups_per_token=2)
    if moe.scaled:
        sizes = replace(sizes, routed_scale=2.5)
    rng = np.random.default_rng(2)
    logits = rng.standard_normal((50, 12)).astype(np.float32)
    correction = rng.random(12).astype(np.float32) if moe.corrected else None
    expected = expected_route(
        logits,
        3,
        renormalize=renormalize,
        scores=moe.scores,
        correction=correction,
        groups=sizes.groups,
        open_groups=sizes.groups_per_token,
        best=2 if moe.groups == "best_two" else 1,
        scale=sizes.routed_scale,
    )
    shift = None if correction is None else paddle.to_tensor(correction)
    chosen, weights = route(paddle.to_tensor(logits), moe, sizes, shift)
    np.testing.assert_array_equal(chosen.numpy(), expected[0])
    np.testing.assert_allclose(weights.numpy(), expected[1], atol=1e-6)


def test_the_correction_is_kept_out_of_training() -> None:
    assert Correction(4).weight.stop_gradient
