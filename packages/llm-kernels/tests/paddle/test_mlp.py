"""Activations and the mixture of experts against the NumPy reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from llm_kernels.families import FAMILIES, Sizes
from llm_kernels.paddle.layers import DENSE
from llm_kernels.paddle.mlp import Expert, activate, gate, mix_experts
from llm_kernels.reference import ACTIVATIONS

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
    from dataclasses import replace

    sizes = replace(SIZES, renormalize=renormalize)
    paddle.seed(1)
    router = nn.Linear(6, 4, bias_attr=False)
    experts = nn.LayerList([Expert(FAMILIES["mixtral"], sizes, DENSE) for _ in range(4)])
    rows = paddle.randn([9, 6])
    mixed = mix_experts(rows, router, experts, sizes).numpy()
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
    mix_experts(paddle.ones([3, 6]), router, experts, SIZES).sum().backward()
    assert [expert.expert_up.weight.grad is None for expert in experts] == [0, 0, 1, 1]
