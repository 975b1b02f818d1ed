from __future__ import annotations

from math import erf, exp, sqrt

import numpy as np
import pytest

from llm_kernels.reference import ACTIVATIONS, gelu, gelu_tanh, sigmoid, silu, softmax

X = np.linspace(-12, 12, 97, dtype=np.float32)


def test_activations_are_their_formulas() -> None:
    wide = X.astype(np.float64)
    np.testing.assert_allclose(silu(X), [x / (1 + exp(-x)) for x in wide], atol=1e-6)
    np.testing.assert_allclose(gelu(X), [x * (1 + erf(x / sqrt(2))) / 2 for x in wide], atol=1e-6)
    np.testing.assert_allclose(ACTIVATIONS["relu"](X), [max(x, 0) for x in wide])


def test_gelu_tanh_approximates_gelu_but_differs() -> None:
    difference = np.abs(gelu_tanh(X) - gelu(X)).max()
    # The largest error of the approximation, near |x| = 2.7.
    assert 3e-4 < difference < 5e-4
    assert gelu_tanh(np.float32([1.0]))[0] == pytest.approx(0.841192, abs=1e-6)


def test_extreme_values_do_not_overflow() -> None:
    far = np.float32([-1e4, 1e4])
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(far).tolist() == [0.0, 1.0]
        for name, activation in ACTIVATIONS.items():
            assert activation(far).tolist() == [0.0, 1e4], name


def test_softmax_sums_to_one_and_forgets_what_is_masked() -> None:
    x = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32) * 50
    x[:, 2] = -np.inf
    shares = softmax(x)
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
    assert (shares[:, 2] == 0).all()
    np.testing.assert_allclose(softmax(x + 900), shares, atol=1e-5)
    assert softmax(np.full((1, 3), -np.inf, np.float32)).tolist() == [[0, 0, 0]]
