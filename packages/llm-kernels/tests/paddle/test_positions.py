"""The rotation as tables and permutation against the reference's, for every kind of `Rope`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest

from llm_kernels.families import Rope
from llm_kernels.paddle.positions import RotaryTables
from llm_kernels.reference import apply_rope


@pytest.mark.parametrize(
    "rope",
    [Rope(), Rope("interleaved"), Rope("interleaved", 0.5), Rope(fraction=0.5), Rope(channels=2)],
    ids=str,
)
def test_rotation_is_the_references(rope: Rope, random_model: Callable[..., Any]) -> None:
    sizes = random_model("llama", head_dim=16).sizes
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3, 16)).astype(np.float32)
    positions = rng.integers(0, 700, (rope.channels, 6))
    tables = RotaryTables(rope, sizes)
    cos, sin = tables.rows(paddle.to_tensor(positions[None]), 6)
    assert cos.shape == [1, 6, 1, 16]
    tensor = paddle.to_tensor(x)
    turned = tensor * cos[0] + paddle.matmul(tensor, tables.swap) * sin[0]
    np.testing.assert_allclose(turned.numpy(), apply_rope(x, rope, sizes, positions, 6), atol=1e-6)


def test_tables_grow_with_the_positions(random_model: Callable[..., Any]) -> None:
    sizes = random_model("llama").sizes
    tables = RotaryTables(Rope(), sizes)
    few = tables.rows(paddle.to_tensor([[[0, 1]]]), 2)
    many = tables.rows(paddle.to_tensor([[[0, 1, 5000]]]), 5001)
    np.testing.assert_array_equal(many[0][:, :2].numpy(), few[0].numpy())
    assert not np.array_equal(many[1][0, 2].numpy(), many[1][0, 1].numpy())
