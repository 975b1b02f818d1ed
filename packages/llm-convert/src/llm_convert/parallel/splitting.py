"""Which part of a stored tensor each tensor parallel rank holds, in PaddleNLP's layout.

Column-split linears give every rank its outputs, row-split ones their inputs. Of a fused weight
each part is shared out on its own, so that a rank's share is fused the same way. PaddleNLP leaves
whole on every rank: norms, biases of row-split linears, k and v when the ranks cannot share the KV
heads evenly, and a vocabulary that they cannot share evenly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from llm_convert.errors import ConvertError
from llm_convert.layout import StoredTensor
from llm_convert.layout.stored import HEAD
from llm_convert.names import Checkpoint
from llm_kernels.families import SLOTS, ParameterKey, Sizes


@dataclass(frozen=True)
class Split:
    """The shares of all ranks: for each, ranges (start, stop) of `axis`, in the share's order."""

    axis: int
    ranges: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def width(self) -> int:
        """Size of one share along `axis`."""
        return sum(stop - start for start, stop in self.ranges[0])

    def share(self, whole: np.ndarray, rank: int) -> np.ndarray:
        """The share of a rank, a view where it is one range."""
        parts = [whole[self._place(start, stop)] for start, stop in self.ranges[rank]]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self.axis)

    def put(self, whole: np.ndarray, share: np.ndarray, rank: int) -> None:
        """Write the share of a rank to its places in `whole`."""
        taken = 0
        for start, stop in self.ranges[rank]:
            whole[self._place(start, stop)] = share[self._place(taken, taken + stop - start)]
            taken += stop - start

    def share_shape(self, whole: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one share of a tensor of shape `whole`."""
        return (*whole[: self.axis], self.width, *whole[self.axis + 1 :])

    def _place(self, start: int, stop: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(start, stop),)


def split_of(
    stored: StoredTensor, checkpoint: Checkpoint, sizes: Sizes, degree: int
) -> Split | None:
    """How `degree` ranks share a stored tensor; None where each of them holds the whole.

    Raises ConvertError for heads or widths that the ranks cannot share evenly.
    """
    key = stored.parts[0]
    how = checkpoint.parallel.get(key.slot, SLOTS[key.slot].split)
    bias = key.leaf == "bias"
    if degree == 1 or how == "replicated" or (how == "row" and bias):
        return None
    axis = 1 if how == "row" else 0
    if stored.transposed:
        axis = 1 - axis
    size = stored.shape[axis]
    if how == "vocab" or key.slot == "head":
        return None if size % degree else Split(axis, _even((size,), degree))
    if stored.fusion is None:
        if key.slot in ("k", "v") and sizes.kv_heads % degree:
            return None
        _check(stored.name, *_unit(key, sizes, size), degree)
        return Split(axis, _even((size,), degree))
    parts = stored.fusion.members if stored.fusion.groups == 1 else (size,)
    for part, members in zip(stored.parts, parts, strict=False):
        _check(stored.name, *_unit(part, sizes, members), degree)
    if key.slot == "q":
        _check(stored.name, "KV heads", sizes.kv_heads, degree)
        if checkpoint.rank_qkv == "per_head" and stored.fusion.groups == 1:
            return Split(axis, _by_head(parts, sizes.kv_heads, degree))
    return Split(axis, _even(parts, degree))


def twin(name: str, shape: tuple[int, ...]) -> StoredTensor:
    """A head that files hold although the model's embedding [V, E] serves as one."""
    return StoredTensor(name, (HEAD,), shape)


def _even(parts: Sequence[int], degree: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Each part in equal stretches, one a rank."""
    starts = [sum(parts[:index]) for index in range(len(parts))]
    return tuple(
        tuple(
            (start + rank * part // degree, start + (rank + 1) * part // degree)
            for start, part in zip(starts, parts, strict=True)
        )
        for rank in range(degree)
    )


def _by_head(
    parts: Sequence[int], heads: int, degree: int
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """[Q | K | V] shared as [q k v] of one head after the other."""
    every = _even(parts, heads)
    each = heads // degree
    return tuple(
        tuple(place for head in every[rank * each : (rank + 1) * each] for place in head)
        for rank in range(degree)
    )


def _unit(key: ParameterKey, sizes: Sizes, size: int) -> tuple[str, int]:
    """What of a parameter may not be cut, and how many of it there are."""
    if key.slot in ("q", "out"):
        return "heads", sizes.heads
    if key.slot in ("k", "v"):
        return "KV heads", sizes.kv_heads
    return "its width", size


def _check(name: str, unit: str, number: int, degree: int) -> None:
    if number % degree:
        fitting = ", ".join(str(n) for n in _divisors(number))
        message = (
            f"{name}: {number} ({unit}) cannot be shared evenly by {degree} ranks. Choose a tensor "
            f"parallel degree that divides it: {fitting}."
        )
        raise ConvertError(message)


def _divisors(number: int) -> Iterator[int]:
    return (n for n in range(1, min(number, 64) + 1) if number % n == 0)
