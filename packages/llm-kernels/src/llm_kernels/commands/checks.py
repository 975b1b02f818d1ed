"""Random cases of every native op beside its reference.

Errors are absolute, over outputs scaled to about one. Tolerances hold the rounding of float32 sums
of the largest shapes drawn here, with a margin; a wrong index or sign is far beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt

from llm_kernels import ops, reference
from llm_kernels.ops.linear import LinearWeight
from llm_kernels.weights import Int4Weight, Int8Weight

Array = npt.NDArray[np.float32]
_BLOCK = 16


@dataclass(frozen=True)
class Outcome:
    """The largest error of one case, and the largest that is right."""

    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; not-a-number is not."""
        return self.error <= self.tolerance


Check = Callable[[np.random.Generator, str], Outcome]


def _outcome(found: Array, expected: Array, tolerance: float) -> Outcome:
    return Outcome(float(np.abs(found - expected).max()), tolerance)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def _rows(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 2, 7, 40]))


def _linear(make: Callable[[Array], LinearWeight]) -> Check:
    def check(rng: np.random.Generator, isa: str) -> Outcome:
        outputs, inputs = int(rng.integers(1, 200)), 128 * int(rng.integers(1, 6))
        weight = make(_normal(rng, outputs, inputs) / np.float32(np.sqrt(inputs)))
        x, bias = _normal(rng, _rows(rng), inputs), _normal(rng, outputs)
        found = ops.linear(x, weight, bias, isa=isa)
        return _outcome(found, reference.linear(x, weight, bias), 2e-5)

    return check


def _rms_norm(rng: np.random.Generator, isa: str) -> Outcome:
    width = int(rng.integers(1, 900))
    x, weight = _normal(rng, _rows(rng), width), _normal(rng, width)
    found = ops.rms_norm(x, weight, 1e-5, isa=isa)
    return _outcome(found, reference.rms_norm(x, weight, 1e-5), 1e-5)


def _transpose(rng: np.random.Generator, isa: str) -> Outcome:
    x = _normal(rng, _rows(rng), int(rng.integers(1, 900)))
    # Moved, not computed: any difference is too large.
    return _outcome(ops.transpose(x, isa=isa), x.T, float(np.finfo(np.float32).tiny))


def _merge_low_rank(rng: np.random.Generator, isa: str) -> Outcome:
    rows, inputs, rank = _rows(rng), int(rng.integers(1, 900)), int(rng.integers(1, 20))
    w, b, a = _normal(rng, rows, inputs), _normal(rng, rows, rank), _normal(rng, rank, inputs)
    found = ops.merge_low_rank(w, b, a, 0.5, isa=isa)
    return _outcome(found, reference.merge_low_rank(w, b, a, 0.5), 1e-5)


def _layer_norm(rng: np.random.Generator, isa: str) -> Outcome:
    width = int(rng.integers(2, 900))
    x, weight, bias = _normal(rng, _rows(rng), width), _normal(rng, width), _normal(rng, width)
    found = ops.layer_norm(x, weight, bias, 1e-5, isa=isa)
    return _outcome(found, reference.layer_norm(x, weight, bias, 1e-5), 1e-5)


def _rope(pairing: str) -> Check:
    def check(rng: np.random.Generator, isa: str) -> Outcome:
        pairs, rows = int(rng.integers(1, 65)), _rows(rng)
        x = _normal(rng, rows, int(rng.integers(1, 9)), 2 * pairs)
        angles = rng.uniform(-3, 3, (rows, pairs))
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        found = ops.rope(x, cos, sin, pairing, isa=isa)  # type: ignore[arg-type]
        return _outcome(found, reference.rotate(x, cos, sin, pairing), 2e-6)  # type: ignore[arg-type]

    return check


def _activation(kind: str, gated: bool) -> Check:
    def check(rng: np.random.Generator, isa: str) -> Outcome:
        shape = (_rows(rng), int(rng.integers(1, 300)))
        x, up = 3 * _normal(rng, *shape), _normal(rng, *shape)
        found = ops.activation(kind, x, up if gated else None, isa=isa)  # type: ignore[arg-type]
        expected = reference.ACTIVATIONS[kind](x)  # type: ignore[index]
        return _outcome(found, expected * up if gated else expected, 1e-5)

    return check


def _stored(
    keys: Array, values: Array, dtype: reference.CacheDtype
) -> tuple[tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]], Array | None]:
    """Blocks [N, block, G, D] in a cache of that dtype, and room for its scales if it has any."""
    blocks, size, groups, dim = keys.shape
    item = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
    caches = (
        np.zeros((blocks, groups, dim, size), item),
        np.zeros((blocks, groups, size, dim), item),
    )
    shape = (2, blocks, groups, size)
    scales = np.zeros(shape, np.float32) if dtype == "int8" else None
    flat = (-1, groups, dim)
    ops.store_key_value(
        keys.reshape(flat),
        values.reshape(flat),
        np.arange(blocks * size, dtype=np.int32),
        *caches,
        key_scales=None if scales is None else scales[0],
        value_scales=None if scales is None else scales[1],
    )
    return caches, scales


def _attention(
    *, alibi: bool = False, window: int | None = None, dtype: reference.CacheDtype = "float32"
) -> Check:
    def check(rng: np.random.Generator, isa: str) -> Outcome:
        groups, share, dim = (int(n) for n in rng.integers((1, 1, 4), (4, 5, 80)))
        heads, length = groups * share, int(rng.integers(1, 90))
        rows = int(rng.integers(1, length + 1))
        q = _normal(rng, rows, heads, dim)
        blocks = -(-length // _BLOCK)
        table = rng.permutation(blocks + 2)[:blocks].astype(np.int32)
        keys, values = (_normal(rng, blocks + 2, _BLOCK, groups, dim) for _ in range(2))
        slopes = reference.alibi_slopes(heads) if alibi else None
        kept = (reference.kept(keys, dtype), reference.kept(values, dtype))
        expected = reference.paged_attention(q, *kept, table, length, window=window, slopes=slopes)
        caches, scales = _stored(keys, values, dtype)
        found = ops.paged_attention(
            q,
            *caches,
            np.array([0, rows], np.int32),
            np.array([length], np.int32),
            table[None],
            window=window,
            slopes=slopes,
            isa=isa,
            key_scales=None if scales is None else scales[0],
            value_scales=None if scales is None else scales[1],
        )
        return _outcome(found, expected, 1e-5)

    return check


CHECKS: Mapping[str, Check] = {
    "linear float32": _linear(lambda weight: weight),
    "linear int8": _linear(Int8Weight.from_dense),
    "linear int8, groups": _linear(lambda weight: Int8Weight.from_dense(weight, 64)),
    "linear int4": _linear(Int4Weight.from_dense),
    "linear int4, groups": _linear(lambda weight: Int4Weight.from_dense(weight, 32)),
    "linear int4, zero points": _linear(lambda weight: Int4Weight.from_dense(weight, 128, False)),
    "rms_norm": _rms_norm,
    "layer_norm": _layer_norm,
    "transpose": _transpose,
    "merge_low_rank": _merge_low_rank,
    "rope half": _rope("half"),
    "rope interleaved": _rope("interleaved"),
    **{f"activation {kind}": _activation(kind, False) for kind in reference.ACTIVATIONS},
    "activation silu, gated": _activation("silu", True),
    "paged_attention": _attention(),
    "paged_attention, ALiBi": _attention(alibi=True),
    "paged_attention, window": _attention(window=9),
    "paged_attention, bfloat16": _attention(dtype="bfloat16"),
    "paged_attention, int8": _attention(dtype="int8"),
}
"""Every check by its name: a random case of an op on an instruction set."""
