"""Windows of text as blanks."""

from __future__ import annotations

import numpy as np
import pytest

from llm_train.blanks.tokens import BlankTokens
from llm_train.blanks.windows import ADDED, BlankWindows, blank_of

TOKENS = BlankTokens(90, (91, 92))


class Windows:
    def __init__(self, count: int, length: int) -> None:
        self.rows = np.random.default_rng().integers(0, 90, (count, length + 1))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"input_ids": self.rows[index, :-1], "labels": self.rows[index, 1:]}


def test_a_blank_is_the_rest_of_its_window() -> None:
    window = {"input_ids": np.array([1, 2, 3, 4]), "labels": np.array([2, 3, 4, 5])}
    blank = blank_of(window, TOKENS, 2)
    assert blank["input_ids"].tolist() == [1, 2, 91, 90, 3, 4]
    assert blank["labels"].tolist() == [-100, -100, -100, 3, 4, 5]
    assert blank["position_ids"].tolist() == [0, 1, 2, 2, 2, 2]
    assert blank["block_position_ids"].tolist() == [0, 0, 0, 1, 2, 3]
    assert blank["context"].tolist() == [1, 1, 1, 0, 0, 0]
    alone = blank_of(window, TOKENS, 0)
    assert alone["input_ids"].tolist() == [91, 90, 1, 2, 3, 4]
    assert alone["labels"].tolist() == [-100, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("length", [1, 2, 7, 32])
def test_every_window_is_kept_and_half_of_it_or_more_is_learnt(length: int) -> None:
    windows = Windows(200, length)
    blanks = BlankWindows(windows, TOKENS, 5)
    shares = []
    for index in range(len(blanks)):
        blank = blanks[index]
        assert all(values.shape == (length + ADDED,) for values in blank.values())
        text = [i for i in blank["input_ids"].tolist() if i < 90]
        assert text == windows.rows[index, :-1].tolist()
        learnt = blank["labels"][blank["labels"] != -100]
        assert learnt.tolist() == windows.rows[index, -len(learnt) :].tolist()
        shares.append((len(learnt) - 1) / length)
    assert 0.5 <= min(shares) <= max(shares) <= 1
    assert length < 7 or (min(shares) < 0.6 and max(shares) > 0.9)


def test_the_context_follows_from_the_seed_and_the_index() -> None:
    windows = Windows(50, 32)
    one, same, other = (BlankWindows(windows, TOKENS, seed) for seed in (1, 1, 2))

    def contexts(blanks: BlankWindows) -> list[int]:
        return [int(blanks[index]["context"].sum()) for index in range(len(blanks))]

    assert contexts(one) == contexts(same) != contexts(other)
