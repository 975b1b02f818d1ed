"""Held-out tokens cut into what a model reads at once, with the targets that count.

Knows llm-data's files and no model. Windows do not overlap: every held-out token is the target of
one prediction, and the first token after a cut sees only its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from llm_data.indexed import IndexedDataset
from llm_data.pretrain import parse_input_dir, split_documents
from llm_quant.errors import CalibrationError


class Window(NamedTuple):
    """Token ids int64 [T + 1] and, for the T predictions of ids[1:], which are scored: bool [T]."""

    ids: np.ndarray
    scored: np.ndarray


def validation_windows(
    input_dir: str, split: str, max_seq_length: int, max_tokens: int
) -> tuple[list[Window], int]:
    """Windows of the validation documents in file order, and how many targets there were in all.

    At most `max_tokens` targets are kept: of each prefix the same share, from its beginning. Raises
    CalibrationError when the split leaves fewer than two tokens.
    """
    streams: list[np.ndarray] = []
    for _, prefix in parse_input_dir(input_dir):
        data = IndexedDataset(prefix)
        part = split_documents(split, len(data))[1]
        if part:
            streams.append(data.tokens[data.offset(part.start) : data.offset(part.stop)])
    counts = [max(stream.size - 1, 0) for stream in streams]
    available = sum(counts)
    if available < 1:
        message = (
            f"The validation part of {input_dir} with --split {split} holds no tokens to score. "
            "Give the second number of --split a larger share, or use more data."
        )
        raise CalibrationError(message)
    windows: list[Window] = []
    for stream, taken in zip(streams, _shared_out(max_tokens, counts), strict=True):
        for start in range(0, taken, max_seq_length):
            count = min(max_seq_length, taken - start)
            ids = np.asarray(stream[start : start + count + 1], dtype=np.int64)
            windows.append(Window(ids, np.ones(count, dtype=bool)))
    return windows, available


def _shared_out(total: int, counts: Sequence[int]) -> list[int]:
    """At most `total` in all, of each of `counts` the same share, rounded so that none is lost."""
    available = sum(counts)
    borders = [0, *accumulate(counts)]
    rounded = [min(total, available) * border // available for border in borders]
    return [last - first for first, last in pairwise(rounded)]


def unigram_entropy(windows: Sequence[Window]) -> float:
    """Entropy in nats of the scored targets' own frequencies: the loss of knowing only those."""
    targets = np.concatenate([window.ids[1:][window.scored] for window in windows])
    counts = np.unique(targets, return_counts=True)[1].astype(np.float64)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def scored_tokens(windows: Sequence[Window]) -> int:
    """Targets that count, over all windows."""
    return sum(int(window.scored.sum()) for window in windows)
