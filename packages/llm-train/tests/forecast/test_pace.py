"""The pace of the machine that the tests run on."""

from __future__ import annotations

import time

import paddle

from llm_train.forecast.pace import measured_pace, measured_peak


def test_a_pace_is_one_of_a_machine() -> None:
    began = time.perf_counter()
    pace = measured_pace()
    assert time.perf_counter() - began < 20
    assert 1e8 < pace.product < 1e16
    assert 1e6 < pace.stream < 1e13
    assert 1e-8 < pace.call < 1e-2
    # A product does 2 N operations for each of its elements; a softmax is no match for that.
    assert pace.product > 2 * pace.stream
    assert measured_peak() > 1e8


def test_a_slower_call_has_a_slower_pace() -> None:
    from llm_train.forecast import pace

    small = paddle.ones([2, 2])

    def slow() -> paddle.Tensor:
        time.sleep(0.01)
        return small

    assert min(pace._tries(slow)) >= 0.01
