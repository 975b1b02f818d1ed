from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from llm_kernels import ops, reference

RNG = np.random.default_rng(24)
PAIRINGS: list[Literal["half", "interleaved"]] = ["half", "interleaved"]


def tables(rows: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    angles = RNG.uniform(-3, 3, (rows, pairs))
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("pairs", [1, 5, 16, 37, 64])
@pytest.mark.parametrize("rest", [0, 6])
def test_equals_the_reference_and_leaves_the_rest(
    isa: str, threads: int, pairing: Literal["half", "interleaved"], pairs: int, rest: int
) -> None:
    x = RNG.standard_normal((7, 3, 2 * pairs + rest)).astype(np.float32)
    before = x.copy()
    cos, sin = tables(7, pairs)
    found = ops.rope(x, cos, sin, pairing, isa=isa, threads=threads)
    expected = reference.rotate(x[..., : 2 * pairs], cos, sin, pairing)
    np.testing.assert_allclose(found[..., : 2 * pairs], expected, atol=1e-6)
    np.testing.assert_array_equal(found[..., 2 * pairs :], x[..., 2 * pairs :])
    np.testing.assert_array_equal(x, before)


def test_what_does_not_fit_is_refused() -> None:
    x = np.ones((4, 2, 8), np.float32)
    cos, sin = tables(4, 5)
    with pytest.raises(ValueError, match="cos has 5 columns"):
        ops.rope(x, cos, sin)
    with pytest.raises(ValueError, match=r"sin has shape \[4, 5\]; \[4, 4\] is needed"):
        ops.rope(x, cos[:, :4].copy(), sin)
    with pytest.raises(ValueError, match="cos has shape"):
        ops.rope(x, cos[:3].copy(), sin)
    with pytest.raises(ValueError, match="half or interleaved"):
        ops.rope(x, cos, sin, "pairs")  # type: ignore[arg-type]
