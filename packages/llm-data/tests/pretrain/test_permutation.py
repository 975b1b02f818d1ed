"""Orders without a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.pretrain.permutation import mix, permuted


@settings(deadline=None)
@given(count=st.integers(1, 300), key=st.integers(0, 2**64 - 1))
def test_every_item_once(count: int, key: int) -> None:
    assert sorted(permuted(i, count, key) for i in range(count)) == list(range(count))


def test_stays_the_same_for_ever() -> None:
    # Changing these would change the order of every run that is resumed.
    assert [permuted(i, 10, mix(42)) for i in range(10)] == [0, 3, 8, 6, 9, 4, 1, 5, 2, 7]


def test_splitmix64_reference_values() -> None:
    # First outputs of SplitMix64 seeded with 0 and with 1234567, from its authors' C code.
    assert mix(0) == 0xE220A8397B1DCDAF
    assert mix(1234567) == 6457827717110365317


@pytest.mark.parametrize("count", [100, 1000])
def test_orders_are_near_uniform(count: int) -> None:
    keys = [mix(seed) for seed in range(400)]
    first = np.asarray([permuted(0, count, key) for key in keys])
    assert abs(first.mean() / (count - 1) - 0.5) < 0.06
    order = np.asarray([permuted(i, count, keys[0]) for i in range(count)])
    assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 0.25
