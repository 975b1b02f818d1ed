"""A group of one process is None, and nothing is sent for it. Runs of several are in groups/."""

from __future__ import annotations

import paddle

from llm_train.parallel.collectives import (
    all_gather,
    all_reduce,
    broadcast,
    reduce_scatter,
    shared_object,
    sum_gradients,
    total,
    wait_for_all,
)


def test_alone_everything_is_as_it_was() -> None:
    tensor = paddle.to_tensor([1.0, 2.0])
    for result in (
        all_reduce(tensor, None),
        all_gather(tensor, None),
        reduce_scatter(tensor, None),
        broadcast(tensor, 0, None),
    ):
        assert result is tensor
    assert total(0.5, None, None) == 0.5
    assert shared_object({"a": 1}, None) == {"a": 1}
    wait_for_all(None)


def test_gradients_of_one_process_stay() -> None:
    weight = paddle.create_parameter([2], "float32")
    sum_gradients([weight], None)
    assert weight.grad is None
