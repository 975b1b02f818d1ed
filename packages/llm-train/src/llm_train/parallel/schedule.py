"""The order of a pipeline's work: who computes what when, and who hands what to whom.

A pipeline has P ranks with C parts of the model each; part c of rank r is stage c * P + r of P * C.
The work is laid out in ticks. In each, a rank does one piece of work or none; after it, what was
made is handed on, in one order that all ranks follow, so that sending may wait for receiving.

With one part a rank this is 1F1B (Narayanan et al. 2021, arXiv:2104.04473): a rank goes backward as
soon as it can, and holds the activations of at most P - r micro-batches. With several it is their
interleaved order, with a little more memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """One piece: stage `stage` of micro-batch `micro`, forward or backward."""

    stage: int
    micro: int
    forward: bool


@dataclass(frozen=True)
class Tick:
    """What the ranks do at once, and whose results are then handed on, in order."""

    work: tuple[Work | None, ...]
    handed: tuple[Work, ...]


def pipeline_schedule(
    ranks: int, chunks: int, micros: int, *, forward_only: bool = False
) -> list[Tick]:
    """The ticks for `micros` micro-batches over `ranks` ranks with `chunks` parts each."""
    progress = _Progress(ranks, chunks, micros, forward_only)
    ticks = []
    while not progress.finished:
        work = tuple(progress.next_of(rank) for rank in range(ranks))
        done = [piece for piece in work if piece is not None]
        assert done, "a pipeline's work waits for itself"
        for piece in done:
            progress.finish(piece)
        ticks.append(Tick(work, tuple(piece for piece in done if progress.is_handed(piece))))
    return ticks


@dataclass
class _Progress:
    ranks: int
    chunks: int
    micros: int
    forward_only: bool
    forward: list[int] = field(default_factory=list)
    backward: list[int] = field(default_factory=list)
    """Micro-batches that each stage has finished; they are taken in order."""

    def __post_init__(self) -> None:
        self.forward = [0] * self.stages
        self.backward = [0] * self.stages

    @property
    def stages(self) -> int:
        return self.ranks * self.chunks

    @property
    def finished(self) -> bool:
        last = self.forward if self.forward_only else self.backward
        return min(last) == self.micros

    def next_of(self, rank: int) -> Work | None:
        """The rank's next piece: backward where it can, else forward where it may."""
        own = range(rank, self.stages, self.ranks)
        if not self.forward_only:
            ready = [stage for stage in own if self._can_go_back(stage)]
            if ready:
                stage = min(ready, key=lambda stage: (self.backward[stage], -stage))
                return Work(stage, self.backward[stage], forward=False)
        held = sum(self.forward[stage] - self.backward[stage] for stage in own)
        ready = [stage for stage in own if self._can_go_on(stage)]
        if not ready or (not self.forward_only and held >= self._room(rank)):
            return None
        stage = min(ready, key=self._urgency)
        return Work(stage, self.forward[stage], forward=True)

    def finish(self, piece: Work) -> None:
        """Note that a piece is done."""
        (self.forward if piece.forward else self.backward)[piece.stage] += 1

    def is_handed(self, piece: Work) -> bool:
        """Whether another rank waits for the result."""
        end = self.stages - 1 if piece.forward else 0
        return piece.stage != end and self.ranks > 1

    def _can_go_on(self, stage: int) -> bool:
        done = self.forward[stage]
        return done < self.micros and (stage == 0 or self.forward[stage - 1] > done)

    def _can_go_back(self, stage: int) -> bool:
        done = self.backward[stage]
        if stage == self.stages - 1:
            return done < self.forward[stage]
        return self.backward[stage + 1] > done and done < self.forward[stage]

    def _room(self, rank: int) -> int:
        """Activations that a rank may hold: as many as reach the end and come back meanwhile."""
        if self.chunks == 1:
            return self.ranks - rank
        return self.chunks * self.ranks + 2 * (self.ranks - rank - 1) + 1

    def _urgency(self, stage: int) -> tuple[int, int]:
        """Rounds of as many micro-batches as ranks, the earlier stages of a round first."""
        return self.forward[stage] // self.ranks, stage


def transfers(tick: Tick, ranks: int, rank: int) -> Iterator[tuple[Work, bool]]:
    """What `rank` hands on (True) or is handed (False) after a tick, in the common order."""
    for piece in tick.handed:
        to = (piece.stage + (1 if piece.forward else -1)) % ranks
        if piece.stage % ranks == rank:
            yield piece, True
        elif to == rank:
            yield piece, False
