"""What is counted in the norm of a gradient, and what parameters without one get."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_train.parallel.gradients import counts_here, fill_missing, global_norm, scale
from llm_train.parallel.groups import Parallel
from llm_train.parallel.layout import Layout


def parameter() -> paddle.Tensor:
    return paddle.create_parameter([3], "float32")


def test_parameters_that_no_token_reached_get_zeros_and_frozen_ones_nothing() -> None:
    reached, missed, frozen = parameter(), parameter(), parameter()
    frozen.stop_gradient = True
    (reached * 2).sum().backward()
    fill_missing([reached, missed, frozen])
    np.testing.assert_array_equal(reached.grad.numpy(), [2, 2, 2])
    np.testing.assert_array_equal(missed.grad.numpy(), [0, 0, 0])
    assert frozen.grad is None


def test_every_parameter_is_counted_by_one_rank() -> None:
    whole, split, tied = parameter(), parameter(), parameter()
    split.is_distributed = True
    tied.tied = True
    counted = {
        rank: [
            counts_here(held, Parallel(Layout(tensor=2, pipeline=2, rank=rank)))
            for held in (whole, split, tied)
        ]
        for rank in range(4)
    }
    # Ranks 0 and 1 are the first stage, 2 and 3 the last; 0 and 2 are first of their group.
    assert counted == {
        0: [True, True, True],
        1: [False, True, False],
        2: [True, True, False],
        3: [False, True, False],
    }


def test_a_norm_above_the_limit_is_brought_down_to_it() -> None:
    gradients = [paddle.to_tensor([3.0]), paddle.to_tensor([4.0])]
    norm = global_norm(gradients, Parallel(Layout()))
    assert norm == pytest.approx(5.0)
    scale(gradients, norm, 10.0)
    assert [gradient.item() for gradient in gradients] == [3.0, 4.0]
    scale(gradients, norm, 1.0)
    assert [gradient.item() for gradient in gradients] == pytest.approx([0.6, 0.8])
    scale(gradients, norm, 0.0)
    assert gradients[0].item() == pytest.approx(0.6)


def test_what_a_scaled_loss_multiplied_is_divided_before_the_limit_is_asked() -> None:
    for limit, expected in ((10.0, [3.0, 4.0]), (1.0, [0.6, 0.8]), (0.0, [3.0, 4.0])):
        gradients = [paddle.to_tensor([3.0 * 64]), paddle.to_tensor([4.0 * 64])]
        scale(gradients, 5.0 * 64, limit, 64.0)
        assert [gradient.item() for gradient in gradients] == pytest.approx(expected)
