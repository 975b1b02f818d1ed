"""The growing cache."""

from __future__ import annotations

import numpy as np
import paddle

from llm_kernels.paddle.cache import KeyValueCache


def test_it_holds_what_it_was_given_in_order() -> None:
    cache = KeyValueCache()
    assert (cache.length, cache.prompt) == (0, 0)
    first, second = paddle.randn([2, 3, 1, 4]), paddle.randn([2, 1, 1, 4])
    cache.extend(0, first, first * 2)
    keys, values = cache.extend(0, second, second * 2)
    assert (cache.length, cache.prompt) == (4, 3)
    np.testing.assert_array_equal(keys.numpy(), np.concatenate([first, second], 1))
    np.testing.assert_array_equal(values.numpy(), 2 * keys.numpy())


def test_reorder_follows_the_beams() -> None:
    cache = KeyValueCache()
    held = paddle.randn([3, 2, 1, 4])
    cache.extend(0, held, held)
    cache.reorder(paddle.to_tensor([2, 2, 0]))
    keys, _ = cache.extend(0, held[:, :1], held[:, :1])
    np.testing.assert_array_equal(keys[:, :2].numpy(), held.numpy()[[2, 2, 0]])
