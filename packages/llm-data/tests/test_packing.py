"""Packing loses nothing, keeps samples apart, and fills rows well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import SampleError
from llm_data.indexed.layout import IntArray
from llm_data.packing import OPEN_ROWS, PackedDataset, pack, padding_share


class _Samples:
    """Sample i holds i * 1000, i * 1000 + 1, ...; the first half of its labels is not learnt."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths: IntArray = np.asarray(lengths, dtype=np.int32)

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        ids = index * 1000 + np.arange(self.lengths[index], dtype=np.int64)
        labels = np.where(np.arange(ids.size) < ids.size // 2, -100, ids + 1)
        return {"input_ids": ids, "labels": labels, "position_ids": np.arange(ids.size)}


@settings(max_examples=60, deadline=None)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=80))
def test_round_trip(lengths: list[int]) -> None:
    samples = _Samples(lengths)
    packed = PackedDataset(samples, 50)
    found: dict[int, dict[str, IntArray]] = {}
    for index in range(len(packed)):
        row = packed[index]
        assert row["input_ids"].size == packed.lengths[index] <= 50
        segments = row["segment_ids"]
        assert segments.tolist() == sorted(segments.tolist())
        for number, sample in enumerate(packed.rows[index], start=1):
            mask = segments == number
            found[sample] = {name: values[mask] for name, values in row.items()}
    assert sorted(found) == list(range(len(lengths)))
    for sample, fields in found.items():
        for name, values in samples[sample].items():
            assert fields[name].tolist() == values.tolist()


@given(lengths=st.lists(st.integers(1, 30), max_size=60))
def test_best_fit_as_the_textbook_has_it(lengths: list[int]) -> None:
    rows: list[list[int]] = []
    for sample, length in enumerate(lengths):
        rooms = [30 - sum(lengths[i] for i in row) for row in rows]
        fitting = [(room, place) for place, room in enumerate(rooms) if room >= length]
        if fitting:
            rows[min(fitting)[1]].append(sample)
        else:
            rows.append([sample])
    assert pack(lengths, 30) == rows


def test_more_rows_than_stay_open() -> None:
    lengths = [20] * (2 * OPEN_ROWS) + [10] * (2 * OPEN_ROWS)
    rows = pack(lengths, 30)
    assert sorted(sample for row in rows for sample in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 30 for row in rows)
    # Only rows still open can be filled up; the closed half stays at 20 tokens.
    assert len(rows) == 2 * OPEN_ROWS + -(-OPEN_ROWS // 3)


def test_filling_is_small_on_text_like_lengths() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 0.8, 5000).clip(1, 2048).astype(int)
    used = lengths.sum() / (2048 * len(pack(lengths, 2048)))
    assert used > 0.97


def test_a_sample_longer_than_a_row_is_never_dropped_quietly() -> None:
    with pytest.raises(SampleError, match="Sample 1 has 51 tokens"):
        pack([3, 51], 50)


def test_index_beyond_the_end() -> None:
    with pytest.raises(IndexError, match="there are 1"):
        PackedDataset(_Samples([1]), 4)[1]


def test_padding_share() -> None:
    lengths = np.asarray([4, 2, 1, 1])
    assert padding_share(lengths, 2) == pytest.approx(1 - 8 / 10)
    assert padding_share(lengths, 1, 4) == pytest.approx(0.5)
    assert padding_share(lengths[:0], 2) == 0.0
