"""Shares found in one split, and which of them are above their limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_data.indexed.layout import IntArray
from llm_data.packing import pack, padding_share
from llm_data.sft import SftDataset
from llm_data.sft.encoding import UNTRAINED


@dataclass(frozen=True)
class Finding:
    """One share of one split."""

    name: str
    count: int
    share: float
    limit: float | None = None
    """None: for information."""

    @property
    def failed(self) -> bool:
        """Whether the share is above its limit."""
        return self.limit is not None and self.share > self.limit

    def verdict(self) -> str:
        """The share beside its limit, in words."""
        limit = "there is no limit" if self.limit is None else f"the limit is {self.limit:.2%}"
        return f"{self.share:.2%} {self.name}, {limit}"


@dataclass(frozen=True)
class Limits:
    """Largest shares that pass."""

    dropped: float
    cut: float
    endless: float
    duplicate: float


def examine(
    data: SftDataset, limits: Limits, *, batch_size: int, train_digests: IntArray | None
) -> list[Finding]:
    """All findings of a split. train_digests: of the training split, to find leaked samples."""
    report = data.report
    samples = report.samples
    repeated = samples - int(np.unique(data.digests).size)
    findings = [
        Finding("dropped", sum(report.dropped.values()), 0, limits.dropped),
        Finding("have no trained token", report.dropped[UNTRAINED], 0, limits.dropped),
        Finding("cut", report.cut, 0, limits.cut),
        Finding("do not learn to stop", report.endless, 0, limits.endless),
        Finding("repeat an earlier sample", repeated, 0, limits.duplicate),
    ]
    if train_digests is not None:
        leaked = int(np.isin(data.digests, train_digests).sum())
        findings.append(Finding("are in train too", leaked, 0, limits.duplicate))
    totals = [report.records] * 2 + [samples] * (len(findings) - 2)
    return [
        Finding(item.name, item.count, item.count / total, item.limit)
        for item, total in zip(findings, totals, strict=True)
    ] + _filling(data, batch_size)


def _filling(data: SftDataset, batch_size: int) -> list[Finding]:
    max_length = data.encoder.max_length
    rows = pack(data.lengths, max_length)
    packed = np.asarray([data.lengths[row].sum() for row in rows], dtype=np.int64)
    before = padding_share(data.lengths, batch_size)
    full = padding_share(data.lengths, 1, max_length)
    after = padding_share(packed, 1, max_length)
    return [
        Finding(f"filling in rows of {max_length}", len(data), full),
        Finding(f"filling in batches of {batch_size}", len(data), before),
        Finding("filling when packed", len(rows), after),
    ]
