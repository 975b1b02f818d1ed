"""A pipeline's order of work: complete, in order, bounded, and as short as it can be."""

from __future__ import annotations

from collections import defaultdict

import pytest

from llm_train.parallel.schedule import Work, pipeline_schedule, transfers

SHAPES = [(r, c, m) for r in (1, 2, 3, 4) for c in (1, 2, 3) for m in (1, 2, 3, 4, 7, 8)]


@pytest.mark.parametrize(("ranks", "chunks", "micros"), SHAPES)
def test_everything_is_done_once_after_what_it_needs(ranks: int, chunks: int, micros: int) -> None:
    stages = ranks * chunks
    done: dict[Work, int] = {}
    for number, tick in enumerate(pipeline_schedule(ranks, chunks, micros)):
        for rank, piece in enumerate(tick.work):
            if piece is None:
                continue
            assert piece.stage % ranks == rank
            assert piece not in done
            before = _needed(piece, stages)
            assert all(done[other] < number for other in before), piece
            done[piece] = number
    assert len(done) == 2 * stages * micros


def _needed(piece: Work, stages: int) -> list[Work]:
    if piece.forward:
        return [Work(piece.stage - 1, piece.micro, True)] if piece.stage else []
    own = Work(piece.stage, piece.micro, True)
    later = Work(piece.stage + 1, piece.micro, False)
    return [own] if piece.stage == stages - 1 else [own, later]


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
@pytest.mark.parametrize("micros", [1, 4, 16])
def test_one_part_a_rank_is_1f1b(ranks: int, micros: int) -> None:
    ticks = pipeline_schedule(ranks, 1, micros)
    assert len(ticks) == 2 * (micros + ranks - 1)
    for rank in range(ranks):
        held = most = 0
        for tick in ticks:
            piece = tick.work[rank]
            held += 0 if piece is None else 1 if piece.forward else -1
            most = max(most, held)
        assert most <= ranks - rank


@pytest.mark.parametrize(("ranks", "micros"), [(2, 8), (4, 8), (4, 16)])
def test_more_parts_wait_less(ranks: int, micros: int) -> None:
    def waiting(chunks: int) -> float:
        # A part's work is 1 / chunks of a rank's.
        return len(pipeline_schedule(ranks, chunks, micros)) / chunks - 2 * micros

    assert waiting(2) < 0.85 * waiting(1)
    assert waiting(3) < waiting(2)


@pytest.mark.parametrize(("ranks", "chunks", "micros"), [(2, 1, 4), (3, 2, 5), (4, 3, 8)])
def test_both_ends_of_a_transfer_agree_on_its_place(ranks: int, chunks: int, micros: int) -> None:
    for tick in pipeline_schedule(ranks, chunks, micros):
        ends: dict[Work, list[bool]] = defaultdict(list)
        orders = []
        for rank in range(ranks):
            own = list(transfers(tick, ranks, rank))
            orders.append([tick.handed.index(piece) for piece, _ in own])
            for piece, outward in own:
                ends[piece].append(outward)
        assert all(order == sorted(order) for order in orders)
        assert all(sorted(outward) == [False, True] for outward in ends.values())


def test_forward_alone_hands_nothing_back() -> None:
    ticks = pipeline_schedule(3, 1, 4, forward_only=True)
    assert len(ticks) == 6
    assert all(piece.forward for tick in ticks for piece in tick.handed)
