"""Keys of blocks: equal exactly for equal beginnings."""

from __future__ import annotations

import numpy as np

from llm_infer.engine.block_keys import BlockKeys, root_key


def test_equal_keys_mean_equal_beginnings():
    random = np.random.default_rng(0)
    seen: dict[bytes, tuple[int, ...]] = {}
    for _ in range(200):
        tokens = random.integers(0, 3, 20).tolist()
        for number, key in enumerate(BlockKeys(root_key(), 4).upto(tokens, len(tokens)), 1):
            assert seen.setdefault(key, tuple(tokens[: 4 * number])) == tuple(tokens[: 4 * number])
    assert len(set(seen.values())) == len(seen)


def test_keys_are_the_same_however_the_tokens_came():
    tokens = list(range(50))
    whole, growing = BlockKeys(root_key(), 8), BlockKeys(root_key(), 8)
    for count in range(50):
        growing.upto(tokens[:count], count)
    assert growing.upto(tokens, 50) == whole.upto(tokens, 50)
    assert len(whole.upto(tokens, 47)) == 5
    assert growing.copy().upto(tokens, 50) == whole.upto(tokens, 50)


def test_another_root_or_lead_gives_other_keys():
    tokens = list(range(32))
    plain = BlockKeys(root_key(), 8).upto(tokens, 32)
    other = BlockKeys(root_key("adapter"), 8).upto(tokens, 32)
    assert not set(plain) & set(other)
    assert root_key("a", None) != root_key(None, "a")


def test_a_lead_moves_the_borders_of_blocks():
    keys = BlockKeys(root_key("prefix"), 8, offset=11)
    tokens = list(range(40))
    assert keys.first == 1
    # 11 places are the prefix's, so 5 tokens fill block 1 and 8 more each one after it.
    assert [len(keys.upto(tokens, count)) for count in (4, 5, 12, 13)] == [0, 1, 1, 2]
    assert BlockKeys(root_key("prefix"), 8, offset=11).upto([9, *tokens[1:]], 5) != keys.upto(
        tokens, 5
    )
