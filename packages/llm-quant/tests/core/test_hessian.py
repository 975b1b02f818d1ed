"""Gram matrices, damping and the factor of the inverse, against float64 linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from llm_quant.core.hessian import Gram, inverse_factor, invert_upper, output_error


def inputs(tokens: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((tokens, columns)).astype(np.float32)


def test_dead_columns_are_counted() -> None:
    data = inputs(20, 8)
    data[:, [1, 6]] = 0
    data[1:, 3] = 0
    assert Gram(data.T @ data, 20).dead_columns == 2


@pytest.mark.parametrize("size", [1, 7, 64, 65, 200])
def test_invert_upper(size: int) -> None:
    triangle = np.triu(inputs(size, size)) + 2 * np.sqrt(size) * np.eye(size, dtype=np.float32)
    inverse = invert_upper(triangle)
    assert (np.tril(inverse, -1) == 0).all()
    np.testing.assert_allclose(inverse @ triangle, np.eye(size), atol=1e-5)


@pytest.mark.parametrize("act_order", [False, True])
def test_factor_times_its_transpose_is_the_damped_inverse(act_order: bool) -> None:
    data = inputs(300, 90) * np.geomspace(0.3, 3, 90, dtype=np.float32)
    gram = data.T @ data
    factor = inverse_factor(gram, 0.01, act_order=act_order)
    assert factor is not None
    order = factor.order
    damped = gram.astype(np.float64) + 0.01 * np.diagonal(gram).mean() * np.eye(90)
    # The factor is that of the matrix over its mean diagonal: the scale does not matter to GPTQ.
    expected = np.linalg.inv(damped[np.ix_(order, order)] / np.diagonal(gram).mean())
    np.testing.assert_allclose(factor.upper.T @ factor.upper, expected, rtol=2e-3, atol=2e-3)
    assert factor.damp == 0.01
    energies = np.diagonal(gram)[order]
    assert (np.diff(energies) <= 0).all() == act_order


def test_fewer_tokens_than_columns_need_no_more_than_damping() -> None:
    data = inputs(5, 64)
    factor = inverse_factor(data.T @ data, 0.01, act_order=True)
    assert factor is not None
    assert np.isfinite(factor.upper).all()


def test_damping_grows_until_the_factorization_works() -> None:
    # Indefinite by 0.3 of its diagonal, as rounding in a long float32 sum can make it.
    gram = np.eye(8, dtype=np.float32)
    gram[0, 1] = gram[1, 0] = 1.3
    factor = inverse_factor(gram, 0.01, act_order=False)
    assert factor is not None
    assert factor.damp == pytest.approx(1.0)


def test_dead_columns_correct_nothing() -> None:
    data = inputs(100, 16)
    data[:, [2, 9]] = 0
    factor = inverse_factor(data.T @ data, 0.01, act_order=True)
    assert factor is not None
    for column in (2, 9):
        position = int(np.flatnonzero(factor.order == column)[0])
        others = np.delete(factor.upper[position], position)
        assert (others == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_matrices_without_a_factor_are_refused(value: float) -> None:
    gram = np.eye(4, dtype=np.float32)
    gram[1, 2] = value
    assert inverse_factor(gram, 0.01, act_order=True) is None
    assert inverse_factor(np.zeros((4, 4), np.float32), 0.01, act_order=True) is None


def test_output_error_is_the_squared_change_of_the_output() -> None:
    data, delta = inputs(50, 12), inputs(600, 12, 3)
    expected = np.square(data.astype(np.float64) @ delta.T.astype(np.float64)).sum()
    assert output_error(delta, data.T @ data) == pytest.approx(expected, rel=1e-4)
