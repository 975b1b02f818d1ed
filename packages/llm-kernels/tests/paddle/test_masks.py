"""Which keys are seen, and what is added to the scores."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from llm_kernels.families import Alibi
from llm_kernels.paddle.masks import HIDDEN, additive, alibi_bias, visible
from llm_kernels.reference import alibi_bias as expected_bias
from llm_kernels.reference import visible as expected_visible


@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("queries", [2, 5, 7])
def test_visible_is_the_references(queries: int, window: int | None) -> None:
    shown = visible(queries, 7, window, None)
    assert shown is not None
    expected = expected_visible(queries, 7, window=window)
    np.testing.assert_array_equal(shown.numpy(), expected)


def test_a_prefix_of_its_own_for_every_sequence() -> None:
    shown = visible(5, 5, None, paddle.to_tensor([0, 3]))
    assert shown is not None
    for row, prefix in enumerate((0, 3)):
        np.testing.assert_array_equal(shown[row, 0].numpy(), expected_visible(5, 5, prefix=prefix))


def test_one_token_after_others_sees_them_all() -> None:
    assert visible(1, 9, None, None) is None
    assert visible(1, 9, 9, None) is None
    shown = visible(1, 9, 4, None)
    assert shown is not None
    assert shown.numpy().sum() == 4


def test_padding_hides_keys_and_slopes_grow_with_the_key() -> None:
    padding = paddle.to_tensor([[False, True, True]])
    alibi = alibi_bias(Alibi(), paddle.to_tensor([0.5, 0.25]), 3, 1.0, padding)
    bias = additive(visible(3, 3, None, None), padding, alibi)
    assert bias is not None
    assert bias.shape == [1, 2, 3, 3]
    values = bias.numpy()[0]
    assert (values[:, :, 0] <= HIDDEN).all()
    assert (values[:, 1, 2] <= HIDDEN + 1).all()
    np.testing.assert_allclose(values[0, 2, 1:], [0.5, 1.0])
    np.testing.assert_allclose(values[1, 2, 1:], [0.25, 0.5])


def test_slopes_alone_cover_all_keys() -> None:
    bias = additive(None, None, alibi_bias(Alibi(), paddle.to_tensor([1.0]), 4, 1.0, None))
    assert bias is not None
    np.testing.assert_allclose(bias.numpy().ravel(), [0, 1, 2, 3])


def test_rounded_slopes_count_real_keys_and_take_the_scale_of_the_scores() -> None:
    slopes = np.array([0.7, 0.31], np.float32)
    padding = paddle.to_tensor([[False, False, True, True, True], [True] * 5])
    rule = Alibi(scaled=True, rounded=True)
    bias = alibi_bias(rule, paddle.to_tensor(slopes), 5, 0.25, padding).numpy()[:, :, 0]
    expected = expected_bias(slopes, 5, rounded=True) * 0.25
    np.testing.assert_array_equal(bias[1], expected)
    np.testing.assert_array_equal(bias[0, :, 2:], expected[:, :3])


def test_nothing_to_hide_is_no_bias() -> None:
    assert additive(None, None, None) is None
