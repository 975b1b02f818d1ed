"""Who runs when: budgets, order, admission and preemption."""

from __future__ import annotations

from llm_infer.engine.block_manager import BlockManager
from llm_infer.engine.scheduler import Scheduler
from llm_infer.engine.sequence import Sequence


def scheduler(blocks: int = 100, **limits: int) -> Scheduler:
    return Scheduler(BlockManager(blocks, 4), **limits)


def add(target: Scheduler, number: int, tokens: int, most: int = 100) -> Sequence:
    sequence = Sequence(number, list(range(tokens)), most)
    target.add(sequence)
    return sequence


def step(target: Scheduler) -> list[tuple[int, int, int]]:
    """One step in which every sampling sequence gets a token."""
    chunks = target.schedule()
    plan = [(chunk.sequence.request_id, chunk.start, chunk.count) for chunk in chunks]
    samples = [chunk for chunk in chunks if chunk.samples]
    target.advance(chunks)
    for chunk in samples:
        chunk.sequence.token_ids.append(0)
    return plan


def test_prompts_are_read_in_chunks_beside_decoding():
    target = scheduler(max_batch_tokens=8)
    add(target, 0, 3)
    add(target, 1, 12)
    assert step(target) == [(0, 0, 3), (1, 0, 5)]
    assert step(target) == [(0, 3, 1), (1, 5, 7)]
    assert step(target) == [(0, 4, 1), (1, 12, 1)]


def test_no_more_sequences_than_allowed():
    target = scheduler(max_sequences=2)
    first = add(target, 0, 1)
    for number in (1, 2):
        add(target, number, 1)
    assert [plan[0] for plan in step(target)] == [0, 1]
    target.remove(first)
    assert [plan[0] for plan in step(target)] == [1, 2]


def test_the_queue_is_not_overtaken_by_a_shorter_prompt():
    target = scheduler(blocks=4)
    first = add(target, 0, 9)
    add(target, 1, 8)
    add(target, 2, 1)
    assert [plan[0] for plan in step(target)] == [0]
    target.remove(first)
    assert [plan[0] for plan in step(target)] == [1, 2]


def test_one_that_can_still_grow_keeps_a_block_in_reserve():
    growing, full = scheduler(blocks=3), scheduler(blocks=3)
    add(growing, 0, 4, most=5)
    add(growing, 1, 8, most=8)
    assert [plan[0] for plan in step(growing)] == [0]
    add(full, 0, 4, most=4)
    add(full, 1, 8, most=8)
    assert [plan[0] for plan in step(full)] == [0, 1]


def test_the_last_to_come_is_preempted_and_comes_back_first():
    target = scheduler(blocks=4)
    add(target, 0, 6, most=16)
    second = add(target, 1, 3, most=8)
    add(target, 2, 1, most=4)
    assert [plan[0] for plan in step(target)] == [0, 1]
    while not target.preemptions:
        plan = step(target)
    assert [entry[0] for entry in plan] == [0]
    assert second.blocks == []
    assert second.computed == 0
    assert [waiting.request_id for waiting in target.waiting] == [1, 2]
    generated = len(second.token_ids)
    target.remove(target.running[0])
    assert step(target)[0] == (1, 0, generated)


def test_removing_frees_blocks_of_waiting_and_running():
    target = scheduler(blocks=4)
    running, waiting = add(target, 0, 12, most=13), add(target, 1, 16, most=16)
    step(target)
    target.remove(waiting)
    target.remove(running)
    assert target.blocks.free == 4
    assert target.schedule() == []
