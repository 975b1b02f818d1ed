"""Grouped attention against the NumPy reference."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_kernels.paddle.attention import attend, group_bias
from llm_kernels.reference import attention


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_attention_is_the_references(groups: int) -> None:
    rng = np.random.default_rng(groups)
    queries = rng.standard_normal((2, 3, 6, 8)).astype(np.float32)
    keys, values = rng.standard_normal((2, 2, 5, groups, 8)).astype(np.float32)
    shown = np.tril(np.ones((3, 5), dtype=bool), 2)
    bias = paddle.to_tensor(np.where(shown, 0.0, -1e9).astype(np.float32))
    actual = attend(*(paddle.to_tensor(t) for t in (queries, keys, values)), bias).numpy()
    for row in range(2):
        expected = attention(queries[row], keys[row], values[row], mask=shown)
        np.testing.assert_allclose(actual[row], expected.reshape(3, 48), atol=2e-6)


def test_a_bias_for_each_head_meets_its_own_head() -> None:
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((2, 3, 4, 8)).astype(np.float32)
    keys, values = rng.standard_normal((2, 2, 3, 2, 8)).astype(np.float32)
    bias = rng.standard_normal((2, 4, 3, 3)).astype(np.float32)
    wide = group_bias(paddle.to_tensor(bias), 2, 4, 2)
    actual = attend(*(paddle.to_tensor(t) for t in (queries, keys, values)), wide).numpy()
    for row in range(2):
        for head in range(4):
            scores = queries[row, :, head] @ keys[row, :, head // 2].T / np.sqrt(8)
            weights = np.exp(scores + bias[row, head])
            expected = weights / weights.sum(-1, keepdims=True) @ values[row, :, head // 2]
            found = actual[row, :, head * 8 : head * 8 + 8]
            np.testing.assert_allclose(found, expected, atol=2e-6)


def test_no_bias_and_a_plain_one_stay_as_they_are() -> None:
    plain = paddle.zeros([3, 3])
    assert group_bias(None, 2, 4, 2) is None
    assert group_bias(plain, 2, 4, 2) is plain
