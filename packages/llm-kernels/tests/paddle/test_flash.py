"""What FlashMask is told of a mask says the same as the mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import paddle
import pytest

from llm_kernels.paddle.flash import attend_flash, can_flash, hidden_from
from llm_kernels.paddle.masks import visible


def shown(hidden: paddle.Tensor | None, tokens: int) -> np.ndarray:
    """bool [B, T, T] by Paddle's words: masked from that row on, and above the diagonal."""
    rows, keys = np.arange(tokens)[:, None], np.arange(tokens)
    causal = keys <= rows
    if hidden is None:
        return causal[None]
    seen: np.ndarray = causal & (rows < hidden.numpy()[:, 0, :, 0][:, None, :])
    return seen


@pytest.mark.parametrize("window", [None, 1, 3, 7, 20])
def test_windows_and_samples_hide_what_a_mask_hides(window: int | None) -> None:
    segments = np.array([[0, 0, 0, 1, 1, 2, 2, 2], [5, 5, 5, 5, 5, 5, 5, 5]])
    ends = paddle.to_tensor([[3, 3, 3, 5, 5, 8, 8, 8], [8] * 8], dtype="int32")
    dense = visible(8, 8, window, None)
    assert dense is not None
    together = segments[:, :, None] == segments[:, None, :]
    made = hidden_from(ends, 2, 8, window)
    assert made is not None
    assert (made.dtype, made.shape) == (paddle.int32, [2, 1, 8, 1])
    np.testing.assert_array_equal(shown(made, 8), dense.numpy() & together)
    np.testing.assert_array_equal(shown(hidden_from(None, 1, 8, window), 8)[0], dense.numpy())


def test_the_kernel_is_asked_for_the_familys_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def kernel(query: Any, key: Any, value: Any, **named: Any) -> Any:
        asked.update(named, query=query.astype("float32").numpy(), type=key.dtype)
        return query

    monkeypatch.setattr("llm_kernels.paddle.flash.F.flashmask_attention", kernel)
    queries = paddle.ones([1, 3, 4, 16])
    keys = paddle.ones([1, 3, 2, 16])
    made = attend_flash(queries, keys, keys, None, 0.5, "bfloat16")
    assert made.shape == [1, 3, 64]
    np.testing.assert_allclose(asked["query"], 2.0)
    assert asked["causal"]
    assert asked["type"] == paddle.bfloat16
    assert asked["startend_row_indices"] is None


def test_only_what_the_kernel_computes_is_handed_to_it(random_model: Callable[..., Any]) -> None:
    able = {name: can_flash(*_of(random_model(name))) for name in ("llama", "bloom", "glm")}
    assert able == {"llama": True, "bloom": False, "glm": False}
    spec, sizes = _of(random_model("llama"))
    assert not can_flash(spec, replace(sizes, score_cap=50.0))
    assert not can_flash(spec, replace(sizes, head_dim=512))
    assert not can_flash(spec, replace(sizes, head_dim=12))


def _of(model: Any) -> tuple[Any, Any]:
    return model.spec, model.sizes
