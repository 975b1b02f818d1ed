"""Batches."""

from __future__ import annotations

import numpy as np
import pytest

from llm_data.errors import SampleError
from llm_data.indexed.layout import IntArray
from llm_data.sft import collate


def _sample(size: int) -> dict[str, IntArray]:
    ids = np.arange(1, size + 1, dtype=np.int64)
    return {
        "input_ids": ids,
        "labels": ids + 1,
        "position_ids": ids - 1,
        "segment_ids": np.ones(size, np.int64),
    }


def test_filling() -> None:
    batch = collate([_sample(3), _sample(1)], pad_token_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 3], [1, 9, 9]]
    assert batch["labels"].tolist() == [[2, 3, 4], [2, -100, -100]]
    assert batch["segment_ids"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 0, 0]]


@pytest.mark.parametrize(
    ("multiple", "pad_to", "width"), [(None, None, 3), (8, None, 8), (None, 5, 5), (4, 5, 8)]
)
def test_width(multiple: int | None, pad_to: int | None, width: int) -> None:
    samples = [_sample(3), _sample(2)]
    batch = collate(samples, pad_token_id=0, pad_to_multiple_of=multiple, pad_to=pad_to)
    assert batch["input_ids"].shape == (2, width)


def test_a_sample_that_does_not_fit_is_not_cut() -> None:
    with pytest.raises(SampleError, match="3 tokens does not fit a batch of 2"):
        collate([_sample(3)], pad_token_id=0, pad_to=2)
