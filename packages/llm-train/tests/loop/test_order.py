"""The order of samples."""

from __future__ import annotations

from itertools import islice

import numpy as np

from llm_train.loop.order import SampleOrder


def test_every_epoch_has_every_sample_once_in_another_order() -> None:
    order = SampleOrder(samples=10, batch=4, steps=5, seed=1, shuffle=True)
    stream = np.concatenate(list(order))
    first, second = stream[:10], stream[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert list(first) != list(range(10))


def test_starting_later_gives_the_rest_of_the_same_stream() -> None:
    whole = list(SampleOrder(7, 3, 9, 2, True))
    assert list(SampleOrder(7, 3, 9, 2, True, start=4)) == whole[4:]
    assert len(SampleOrder(7, 3, 9, 2, True, start=4)) == 9


def test_the_seed_decides() -> None:
    one, other = (list(SampleOrder(50, 5, 4, seed, True)) for seed in (1, 2))
    assert one != other
    assert one == list(SampleOrder(50, 5, 4, 1, True))


def test_without_shuffling_positions_are_handed_on() -> None:
    order = SampleOrder(samples=3, batch=2, steps=4, seed=1, shuffle=False)
    assert list(islice(order, 3)) == [[0, 1], [2, 3], [4, 5]]
