"""The Hessian of a linear layer's output error: damping it, factoring its inverse.

For a layer y = W x the Hessian of the squared output error is X^T X over the calibration inputs,
the Gram matrix. It is singular whenever there are fewer tokens than columns or an input is never
used, so a share of the mean diagonal is added, and ten times more each time the factorization
fails. Pure linear algebra in float32; knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

INVERT_DIRECTLY = 64  # triangles up to this size go to LAPACK, larger ones are split
DAMP_GROWTH = 10.0
DAMP_LIMIT = 10.0


@dataclass(frozen=True)
class Gram:
    """Sum of x x^T over the inputs of a linear, float32 [K, K], and how many there were."""

    total: np.ndarray
    tokens: int

    @property
    def dead_columns(self) -> int:
        """Input columns that were zero for every token."""
        return int(np.count_nonzero(np.diagonal(self.total) == 0))


class Factor(NamedTuple):
    """Upper triangle U float32 [K, K] with H^-1 = U^T U in `order`, and the damping it needed."""

    upper: np.ndarray
    order: np.ndarray
    damp: float


def inverse_factor(gram: np.ndarray, damp: float, *, act_order: bool) -> Factor | None:
    """Factor the inverse of a Gram matrix float32 [K, K], damped as much as needed.

    Columns that no input ever used get the mean diagonal: they are then rounded on their own and
    correct nothing. Returns None when no damping up to 10 times the mean diagonal helps, which
    means that the matrix is not finite or all zero.
    """
    diagonal = np.diagonal(gram).astype(np.float64)
    mean = float(diagonal.mean())
    if not np.isfinite(gram).all() or mean <= 0:
        return None
    # A stable sort keeps columns of equal energy in place, so runs can be repeated.
    order = np.argsort(-diagonal, kind="stable") if act_order else np.arange(gram.shape[0])
    base = gram[np.ix_(order, order)] / np.float32(mean)
    dead = diagonal[order] == 0
    base[dead, dead] = 1.0
    share = damp
    while share <= DAMP_LIMIT:
        upper = _try_factor(base, share)
        if upper is not None:
            return Factor(upper, order, share)
        share = max(share, 0.001) * DAMP_GROWTH
    return None


def _try_factor(base: np.ndarray, share: float) -> np.ndarray | None:
    damped = base[::-1, ::-1].copy()
    damped[np.diag_indices_from(damped)] += np.float32(share)
    try:
        # The Cholesky factor of the flipped matrix, flipped back, is an upper triangle M with
        # H = M M^T, and U = M^-1: no explicit inverse of H is formed.
        lower = np.linalg.cholesky(damped)
        upper = invert_upper(np.ascontiguousarray(lower[::-1, ::-1]))
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(upper)
    return upper if np.isfinite(upper).all() and (diagonal > 0).all() else None


def invert_upper(triangle: np.ndarray) -> np.ndarray:
    """The inverse of an upper triangle [K, K], by halves, so that the work is matrix products."""
    size = triangle.shape[0]
    if size <= INVERT_DIRECTLY:
        return np.triu(np.linalg.inv(triangle))
    half = size // 2
    inverse = np.zeros_like(triangle)
    first, last = inverse[:half, :half], inverse[half:, half:]
    first[:] = invert_upper(triangle[:half, :half])
    last[:] = invert_upper(triangle[half:, half:])
    inverse[:half, half:] = -(first @ triangle[:half, half:]) @ last
    return inverse


def output_error(delta: np.ndarray, gram: np.ndarray) -> float:
    """Squared norm of X delta^T, the change of the layer's output, for delta float32 [N, K]."""
    return float(
        sum(
            np.einsum("nk,nk->", delta[i : i + 512] @ gram, delta[i : i + 512], dtype=np.float64)
            for i in range(0, delta.shape[0], 512)
        )
    )
