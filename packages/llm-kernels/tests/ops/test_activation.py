from __future__ import annotations

import numpy as np
import pytest

from llm_kernels import ops, reference
from llm_kernels.families import Activation

KINDS: list[Activation] = ["silu", "gelu", "gelu_tanh", "relu"]
WIDE = np.concatenate([np.linspace(-12, 12, 997), [-1e4, -90, -87, 0, 88, 90, 1e4]])


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_reference_over_the_whole_range(isa: str, kind: Activation) -> None:
    x = WIDE.astype(np.float32)[None]
    found = ops.activation(kind, x, isa=isa)
    np.testing.assert_allclose(found, reference.ACTIVATIONS[kind](x), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 37), (40, 1000)])
def test_gated_multiplies(isa: str, threads: int, kind: Activation, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(23)
    x, up = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    found = ops.activation(kind, x, up, isa=isa, threads=threads)
    expected = reference.ACTIVATIONS[kind](x) * up
    np.testing.assert_allclose(found, expected, rtol=5e-6, atol=1e-6)


def test_what_does_not_fit_is_refused() -> None:
    x = np.ones((2, 12), np.float32)
    with pytest.raises(ValueError, match=r"up has shape \[2, 11\]; \[2, 12\] is needed"):
        ops.activation("silu", x, np.ones((2, 11), np.float32))
    with pytest.raises(ValueError, match="silu, gelu, gelu_tanh, relu"):
        ops.activation("swish", x)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 16, 19])
def test_what_is_no_number_stays_so(isa: str, kind: Activation, length: int) -> None:
    x = np.full((1, length), np.nan, np.float32)
    assert np.isnan(ops.activation(kind, x, isa=isa)).all()
    assert np.isnan(ops.activation(kind, x, np.ones_like(x), isa=isa)).all()
