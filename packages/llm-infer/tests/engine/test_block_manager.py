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


def test_registered_blocks_stay_until_their_room_is_needed():
    blocks = BlockManager(4, 8)
    first = blocks.allocate(3)
    for number, block in enumerate(first):
        blocks.register(block, bytes([number]))
    blocks.release(first)
    assert (blocks.free, blocks.cached) == (4, 3)
    assert blocks.find([b"\0", b"\1", b"x", b"\2"]) == first[:2]
    assert (blocks.free, blocks.cached) == (2, 1)
    blocks.release(first[:2])
    # The last blocks of a beginning go first: without the earlier ones they would be useless.
    taken = blocks.allocate(2)
    assert blocks.find([b"\0", b"\1", b"\2"]) == first[:2]
    assert blocks.free == 0
    blocks.release(taken)
    blocks.release(first[:2])
    blocks.allocate(4)
    assert blocks.find([b"\0"]) == []


def test_held_blocks_are_found_and_never_evicted():
    blocks = BlockManager(2, 8)
    [held] = blocks.allocate(1)
    blocks.register(held, b"a")
    assert blocks.find([b"a"]) == [held]
    assert blocks.ref_count(held) == 2
    blocks.release([held])
    assert blocks.allocate(1) != [held]
    with pytest.raises(AssertionError):
        blocks.allocate(1)


def test_the_first_block_of_a_key_is_the_one_that_is_found():
    blocks = BlockManager(3, 8)
    first, second = blocks.allocate(2)
    blocks.register(first, b"a")
    blocks.register(second, b"a")
    assert blocks.find([b"a"]) == [first]
    blocks.release([second])
    assert blocks.cached == 0
    blocks.release([first, first][:1])
    blocks.release([first])
    assert blocks.cached == 1
    blocks.forget()
    assert (blocks.free, blocks.cached, blocks.find([b"a"])) == (3, 0, [])
