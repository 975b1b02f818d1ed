"""Layouts of stored weights as pairs of functions, each with its inverse.

Every function works on the rows (the first axis) of an array [N, ...] - a weight [N, K] or a bias
[N] - and returns views where it can. The same functions reorder the rows of packed weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from llm_convert.errors import QuantizationError

if TYPE_CHECKING:
    from llm_kernels.weights import Float8Weight, Int4Weight, Int8Weight, RoundedInputs

Weight: TypeAlias = "np.ndarray | Int4Weight | Int8Weight | Float8Weight | RoundedInputs"


@dataclass(frozen=True)
class Interleaving:
    """How the rows of several weights share one fused weight.

    The fused rows are `groups` blocks; each block holds `members[i]` rows of part i, in order.
    Blocked [Q | K | V] is one group; per head [q.. k v] [q.. k v] ... is one group a KV head.
    """

    groups: int
    members: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the fused weight."""
        return self.groups * sum(self.members)

    def split(self, fused: np.ndarray, part: int) -> np.ndarray:
        """Rows of one part, [groups * members[part], ...]; a view when there is one group."""
        start = sum(self.members[:part])
        block = fused.reshape(self.groups, sum(self.members), *fused.shape[1:])
        taken = block[:, start : start + self.members[part]]
        return taken.reshape(-1, *fused.shape[1:])

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The fused rows from all parts; inverse of `split`."""
        tail = parts[0].shape[1:]
        blocks = [part.reshape(self.groups, -1, *tail) for part in parts]
        return np.concatenate(blocks, axis=1).reshape(self.rows, *tail)


def pairs_to_half(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Rotated rows (2i, 2i + 1) of every head moved to (i, i + D/2): [H * D, ...], as given."""
    heads = rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


def half_to_pairs(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Inverse of `pairs_to_half`."""
    heads = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return heads.swapaxes(1, 2).reshape(rows.shape)


@dataclass(frozen=True)
class RotaryPairs:
    """Rows stored in adjacent rotary pairs: the last `rotated` of every head of `width`."""

    width: int
    rotated: int

    def to_half(self, rows: np.ndarray) -> np.ndarray:
        """Stored rows [heads * width, ...] in the order of half rotation."""
        return self._turned(rows, pairs_to_half)

    def from_half(self, rows: np.ndarray) -> np.ndarray:
        """Inverse of `to_half`."""
        return self._turned(rows, half_to_pairs)

    def _turned(
        self, rows: np.ndarray, change: Callable[[np.ndarray, int], np.ndarray]
    ) -> np.ndarray:
        if self.rotated == self.width:
            return change(rows, self.width)
        heads = rows.reshape(-1, self.width, *rows.shape[1:])
        kept, end = np.split(heads, [self.width - self.rotated], axis=1)
        turned = change(end.reshape(-1, *rows.shape[1:]), self.rotated).reshape(end.shape)
        return np.concatenate([kept, turned], axis=1).reshape(rows.shape)


def on_rows(weight: Weight, change: Callable[[np.ndarray], np.ndarray]) -> Weight:
    """`change` applied to the rows of a plain or packed weight.

    A packed weight keeps one row of codes, scales and zero points for each output, so a change of
    rows is the same change of each of its arrays.
    """
    if isinstance(weight, np.ndarray):
        return change(weight)
    held: Any = weight
    if hasattr(held, "rounding"):
        # How inputs are rounded does not depend on the rows.
        return _with(held, weight=on_rows(held.weight, change))
    return _with(weight, **{name: change(array) for name, array in _arrays(weight).items()})


def join_rows(
    parts: Sequence[Weight], join: Callable[[Sequence[np.ndarray]], np.ndarray]
) -> Weight:
    """`join` applied to the rows of several plain weights, or of several packed alike.

    Raises QuantizationError where the parts are held differently.
    """
    first = parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return join([part for part in parts if isinstance(part, np.ndarray)])
    if isinstance(first, np.ndarray) or len({_held(part) for part in parts}) > 1:
        held = ", ".join(sorted({type(part).__name__ for part in parts}))
        message = (
            f"Parts of one fused weight are quantized differently ({held}), so they cannot be "
            "stored as one. Quantize all of them alike, or write the unfused PaddleNLP naming."
        )
        raise QuantizationError(message)
    if hasattr(first, "rounding"):
        # All of them have the same rounding, which is that of the whole.
        inner = [part.weight for part in cast("list[Any]", parts)]
        return _with(first, weight=join_rows(inner, join))
    arrays = [_arrays(part) for part in parts]
    return _with(first, **{name: join([each[name] for each in arrays]) for name in arrays[0]})


def transpose(weight: Weight, name: str) -> Weight:
    """[out, in] to [in, out] or back, its own inverse; QuantizationError for packed weights."""
    if isinstance(weight, np.ndarray):
        return weight.T
    message = (
        f"{name} is quantized, and quantized weights are stored by output rows only; "
        "this naming stores linears by input rows. Write the naming 'hf' instead."
    )
    raise QuantizationError(message)


def _arrays(weight: Any) -> dict[str, np.ndarray]:
    assert is_dataclass(weight), type(weight)
    values = {field.name: getattr(weight, field.name) for field in fields(weight)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def _with(held: Any, /, **changes: Any) -> Weight:
    changed: Weight = replace(held, **changes)
    return changed


def _held(weight: Any) -> tuple[object, ...]:
    if isinstance(weight, np.ndarray):
        return ("dense",)
    if hasattr(weight, "rounding"):
        return (weight.rounding, *_held(weight.weight))
    return (type(weight).__name__, getattr(weight, "group_size", None), *_arrays(weight))
