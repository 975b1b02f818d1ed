"""Who runs in the next step, with how many tokens.

First come, first served. Every step holds one token of each decoding sequence and fills the rest of
its token budget with prompt chunks, so that a long prompt never stalls the streams. New sequences
join at any step. When the cache is full, the sequence that came last gives its blocks back and
waits; later its tokens, prompt and generated, are computed again, so nothing is lost. Sees
sequences and block numbers, never a tensor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from llm_infer.engine.block_manager import BlockManager
from llm_infer.engine.sequence import Chunk, Sequence


class Scheduler:
    """Shares the blocks and the token budget of a step between sequences."""

    def __init__(
        self, blocks: BlockManager, *, max_sequences: int = 32, max_batch_tokens: int = 2048
    ) -> None:
        self.blocks = blocks
        self.max_sequences = min(max_sequences, max_batch_tokens)
        self.max_batch_tokens = max_batch_tokens
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.preemptions = 0

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; the caller has checked that it fits the cache on its own."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, finished, aborted or never added, and free its blocks."""
        for place in (self.running, self.waiting):
            if sequence in place:
                place.remove(sequence)
        self._free(sequence)

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step, at most `max_batch_tokens` tokens; empty: nothing to do."""
        preempted = self._grow()
        decoding = [sequence for sequence in self.running if sequence.pending == 1]
        chunks = [Chunk(sequence, sequence.computed, 1) for sequence in decoding]
        budget = self.max_batch_tokens - len(chunks)
        for sequence in self.running:
            if budget and sequence.pending > 1:
                budget -= self._take(sequence, budget, chunks)
        # Whoever was just preempted would come straight back and be preempted again.
        while budget and not preempted and self._admit(budget):
            budget -= self._take(self.running[-1], budget, chunks)
        return chunks

    @staticmethod
    def advance(chunks: Iterable[Chunk]) -> None:
        """Record that the decoder has read `chunks`; call it before tokens are appended."""
        for chunk in chunks:
            chunk.sequence.computed += chunk.count

    @staticmethod
    def _take(sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        count = min(sequence.pending, budget)
        chunks.append(Chunk(sequence, sequence.computed, count))
        return count

    def _grow(self) -> bool:
        """Give each running sequence room for its known tokens; whether one was preempted."""
        preempted = False
        index = 0
        while index < len(self.running):
            sequence = self.running[index]
            missing = self.blocks.needed(len(sequence.token_ids)) - len(sequence.blocks)
            while missing > self.blocks.free:
                preempted = True
                self._preempt()
                if index == len(self.running):
                    return True
            if missing > 0:
                sequence.blocks += self.blocks.allocate(missing)
            index += 1
        return preempted

    def _preempt(self) -> None:
        """Send the sequence that came last back to the head of the queue."""
        sequence = self.running.pop()
        self._free(sequence)
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _admit(self, budget: int) -> bool:
        """Move the head of the queue to the running ones if there is room for it."""
        if not self.waiting or len(self.running) >= self.max_sequences:
            return False
        sequence = self.waiting[0]
        if sequence.prefix > budget:
            return False
        missing = self.blocks.needed(len(sequence.token_ids))
        # A block in reserve for each one that still grows, or this one is soon preempted.
        growing = sum(self._grows(other) for other in self.running)
        if missing + growing > self.blocks.free:
            return False
        sequence.blocks = self.blocks.allocate(missing)
        self.running.append(self.waiting.popleft())
        return True

    def _grows(self, sequence: Sequence) -> bool:
        return self.blocks.needed(sequence.max_tokens) > len(sequence.blocks)

    def _free(self, sequence: Sequence) -> None:
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = 0
