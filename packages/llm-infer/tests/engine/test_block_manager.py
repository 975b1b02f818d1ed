"""The pool of blocks: every block is held or free, never both."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine.block_manager import BlockManager


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (64, 1), (65, 2), (640, 10)])
def test_blocks_needed(tokens, blocks):
    assert BlockManager(4, 64).needed(tokens) == blocks


def test_a_shared_block_is_free_when_its_last_holder_lets_go():
    blocks = BlockManager(3, 64)
    taken = blocks.allocate(2)
    blocks.share(taken[:1])
    blocks.release(taken)
    assert blocks.free == 2
    assert taken[0] not in blocks.allocate(2)
    blocks.release(taken[:1])
    assert blocks.allocate(1) == taken[:1]


def test_mistakes_of_the_caller_are_caught():
    blocks = BlockManager(2, 64)
    taken = blocks.allocate(2)
    with pytest.raises(AssertionError, match="0 free"):
        blocks.allocate(1)
    blocks.release(taken)
    with pytest.raises(AssertionError, match="twice"):
        blocks.release(taken)
    with pytest.raises(AssertionError, match="free"):
        blocks.share(taken)


def test_random_use_never_gives_a_block_to_two():
    random = np.random.default_rng(1)
    blocks = BlockManager(20, 64)
    held: list[list[int]] = []
    for _ in range(500):
        if held and random.random() < 0.5:
            blocks.release(held.pop(int(random.integers(len(held)))))
        elif blocks.free:
            held.append(blocks.allocate(int(random.integers(1, blocks.free + 1))))
        flat = [block for group in held for block in group]
        assert len(flat) == len(set(flat)) == 20 - blocks.free
