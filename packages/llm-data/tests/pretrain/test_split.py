"""Borders of the split, against numbers computed with Megatron's rule by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_data.errors import SampleError
from llm_data.pretrain import split_documents


@pytest.mark.parametrize(
    ("split", "count", "borders"),
    [
        ("949,50,1", 1000, (949, 999, 1000)),
        # 1186.25, 62.5 (half to even: 62), 1.25: one too few, added to every border.
        ("949,50,1", 1250, (1187, 1249, 1250)),
        ("949/50/1", 1000, (949, 999, 1000)),
        ("8,1,1", 10, (8, 9, 10)),
        ("1", 7, (7, 7, 7)),
        ("90,10", 10, (9, 10, 10)),
        # Shares 3.5 each round half to even: 4 + 4 = 8, one too many, taken off every border.
        ("1,1,0", 7, (3, 7, 7)),
        ("0,0,1", 3, (0, 0, 3)),
    ],
)
def test_borders(split: str, count: int, borders: tuple[int, int, int]) -> None:
    parts = split_documents(split, count)
    assert tuple(part.stop for part in parts) == borders
    assert parts[0].start == 0


@given(
    ratios=st.lists(st.integers(0, 1000), min_size=1, max_size=3).filter(any),
    count=st.integers(0, 10_000),
)
def test_every_document_is_in_one_part(ratios: list[int], count: int) -> None:
    train, valid, test = split_documents(",".join(map(str, ratios)), count)
    assert [*train, *valid, *test] == list(range(count))


@pytest.mark.parametrize("split", ["", "a,b", "0,0,0", "1,-1,1", "1,1,1,1", "nan,1,1", "inf"])
def test_nonsense_is_refused(split: str) -> None:
    with pytest.raises(SampleError, match="--split"):
        split_documents(split, 10)
