"""Which rank of a sharding group keeps the optimizer's state of which parameter."""

from __future__ import annotations

from collections.abc import Mapping


def share_out(sizes: Mapping[str, int], ranks: int) -> dict[str, int]:
    """Name -> rank, so that all ranks hold about as much; the same on every rank.

    The largest parameters are given first, each to the rank that holds least so far.
    """
    held = [0] * ranks
    owners: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        rank = held.index(min(held))
        owners[name] = rank
        held[rank] += sizes[name]
    return owners
