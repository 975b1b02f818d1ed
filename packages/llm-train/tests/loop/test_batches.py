"""From samples to what the model is called with."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_train.errors import BatchError
from llm_train.loop.batches import as_tensor, count_trained, cut, model_inputs, real_tokens
from llm_train.loop.data import stacked


def rows(count: int) -> list[dict[str, np.ndarray]]:
    return [{"input_ids": np.full(3, i), "labels": np.full(3, i)} for i in range(count)]


def test_a_step_is_cut_into_micro_batches() -> None:
    batches = cut(stacked, 2)(rows(5))
    assert [batch["input_ids"][:, 0].tolist() for batch in batches] == [[0, 1], [2, 3], [4]]


def test_filling_is_not_counted_and_its_mask_not_passed_on() -> None:
    batch = {
        "input_ids": np.ones((2, 4), np.int64),
        "attention_mask": np.array([[1] * 4, [1, 0, 0, 0]]),
    }
    assert real_tokens(batch) == 5
    assert real_tokens({"input_ids": batch["input_ids"]}) == 8
    assert set(model_inputs(batch)) == {"input_ids"}


def test_packed_samples_do_not_see_each_other() -> None:
    batch = {"input_ids": np.ones((1, 4), np.int64), "segment_ids": np.array([[1, 1, 2, 0]])}
    flash = model_inputs(batch, flash=True)
    assert set(flash) == {"input_ids", "segment_ends"}
    assert flash["segment_ends"].tolist() == [[2, 2, 3, 4]]
    mask = model_inputs(batch)["attention_mask"].numpy()
    assert mask.shape == (1, 1, 4, 4)
    assert mask[0, 0].tolist() == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_tensors_are_taken_as_they_are() -> None:
    tensor = paddle.ones([2])
    assert as_tensor(tensor) is tensor
    assert as_tensor(np.ones(2)).tolist() == [1, 1]


def test_labels_are_counted_over_the_whole_step() -> None:
    silent = {"labels": np.full((2, 3), -100)}
    assert count_trained([silent, {"labels": np.array([[1, -100, 2]])}], 4) == 2
    with pytest.raises(BatchError, match=r"Step 4: none of the tokens of its 2 samples"):
        count_trained([silent], 4)
