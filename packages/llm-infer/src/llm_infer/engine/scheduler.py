"""Who runs in the next step, with how many tokens.

First come, first served. Every step holds one token of each decoding sequence and fills the rest of
its token budget with drafts and prompt chunks, so that a long prompt never stalls the streams. New
sequences join at any step, and begin behind the blocks that are known already. When the cache is
full, the sequence that came last gives its blocks back and waits; later its tokens, prompt and
generated, are computed again, so nothing is lost. Sees sequences and block numbers, never a tensor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from llm_infer.engine.block_manager import BlockManager
from llm_infer.engine.sequence import Chunk, Sequence

Copy = tuple[int, int]
"""Content of one block that is to be copied to another."""

READ_ALL_TOKENS = 256
"""Most tokens of a chunk whose logits are all wanted: they are as many rows as the vocabulary is
wide."""


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
        self.cached_tokens = 0
        self._copies: list[Copy] = []

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; the caller has checked that it fits the cache on its own."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence, finished, aborted or never added, and free its blocks."""
        for place in (self.running, self.waiting):
            if sequence in place:
                place.remove(sequence)
        self._free(sequence)

    def fork(self, sequence: Sequence) -> Sequence:
        """Another sequence with the same tokens and blocks, right behind it in running or waiting.

        A block that both would write is copied for one of them when it does.
        """
        other = sequence.fork()
        self.blocks.share(other.blocks)
        sequence.slots = other.slots = 1
        if sequence in self.running:
            self.running.insert(self.running.index(sequence) + 1, other)
        else:
            self.waiting.insert(self.waiting.index(sequence) + 1, other)
        return other

    def schedule(self) -> list[Chunk]:
        """The chunks of the next step, at most `max_batch_tokens` tokens; empty: nothing to do.

        `take_copies` tells what is to be copied before they are read.
        """
        preempted = self._grow()
        decoding = [sequence for sequence in self.running if sequence.pending == 1]
        budget = self.max_batch_tokens - len(decoding)
        chunks = []
        for sequence in decoding:
            drafted = min(len(sequence.draft), budget)
            chunks.append(Chunk(sequence, sequence.computed, 1 + drafted, drafted))
            budget -= drafted
        for sequence in self.running:
            if budget and sequence.pending > 1:
                budget -= self._take(sequence, budget, chunks)
        # Whoever was just preempted would come straight back and be preempted again.
        while budget and not preempted and self._admit(budget):
            budget -= self._take(self.running[-1], budget, chunks)
        return chunks

    def take_copies(self) -> list[Copy]:
        """What is to be copied, in this order, before the chunks that were scheduled are read."""
        copies, self._copies = self._copies, []
        return copies

    def advance(self, chunks: Iterable[Chunk]) -> None:
        """Record that the decoder has read `chunks`; call it before tokens are appended.

        Drafts do not count before they are found to be right.
        """
        for chunk in chunks:
            chunk.sequence.computed += chunk.count - chunk.drafted
            self._register(chunk.sequence)

    @staticmethod
    def _take(sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        count = min(sequence.pending, budget)
        if sequence.reads_all:
            count = min(count, READ_ALL_TOKENS)
        chunks.append(Chunk(sequence, sequence.computed, count))
        return count

    def _grow(self) -> bool:
        """Give each running sequence room for its known tokens; whether one was preempted."""
        preempted = False
        index = 0
        while index < len(self.running):
            sequence = self.running[index]
            if self._missing(sequence) > self.blocks.free:
                sequence.draft.clear()
            while self._missing(sequence) > self.blocks.free:
                preempted = True
                self._preempt()
                if index >= len(self.running):
                    return True
            self._extend(sequence)
            index += 1
        return preempted

    def _missing(self, sequence: Sequence) -> int:
        missing = self.blocks.needed(sequence.size) - len(sequence.blocks)
        return max(missing, 0) + (self._shared(sequence) is not None)

    def _shared(self, sequence: Sequence) -> int | None:
        """Number of the block that the next token goes to, where others hold it too."""
        index = (sequence.ahead + sequence.computed) // self.blocks.block_size
        if not sequence.pending or index >= len(sequence.blocks):
            return None
        return index if self.blocks.ref_count(sequence.blocks[index]) > 1 else None

    def _extend(self, sequence: Sequence) -> None:
        """Take the blocks that are missing; the one that others hold too is replaced by a copy."""
        index = self._shared(sequence)
        if index is not None:
            [own] = self.blocks.allocate(1)
            shared, sequence.blocks[index] = sequence.blocks[index], own
            self._copies.append((shared, own))
            self.blocks.release([shared])
        missing = self.blocks.needed(sequence.size) - len(sequence.blocks)
        if missing > 0:
            sequence.blocks += self.blocks.allocate(missing)

    def _preempt(self) -> None:
        """Send the sequence that came last back to the head of the queue, with its other beams."""
        request_id = self.running[-1].request_id
        while self.running and self.running[-1].request_id == request_id:
            sequence = self.running.pop()
            self._free(sequence)
            self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _admit(self, budget: int) -> bool:
        """Move the head of the queue to the running ones if there is room for it."""
        if not self.waiting:
            return False
        sequence = self.waiting[0]
        slots = sum(other.slots for other in self.running)
        if slots + sequence.slots > self.max_sequences or sequence.prefix > budget:
            return False
        known = self._known(sequence)
        sequence.blocks = known
        # A block in reserve for each one that still grows, or this one is soon preempted.
        growing = sum(self._grows(other) for other in self.running)
        if self._missing(sequence) + growing > self.blocks.free:
            self.blocks.release(known)
            sequence.blocks = []
            sequence.computed = 0
            return False
        self.cached_tokens += sequence.computed
        sequence.registered = (sequence.ahead + sequence.computed) // self.blocks.block_size
        self._extend(sequence)
        self.running.append(self.waiting.popleft())
        return True

    def _known(self, sequence: Sequence) -> list[int]:
        """Blocks, held for it from now on, that contain the beginning of a sequence already."""
        prefix_blocks = list(sequence.prefix_blocks.blocks) if sequence.prefix_blocks else []
        size = self.blocks.block_size
        found: list[int] = []
        if sequence.keys is not None and not sequence.reads_all:
            # The last token is read in any case: its logits are wanted.
            keys = sequence.keys.upto(sequence.token_ids, len(sequence.token_ids) - 1)
            found = self.blocks.find(keys)
        if found:
            prefix_blocks = prefix_blocks[: sequence.ahead // size]
            sequence.computed = (len(prefix_blocks) + len(found)) * size - sequence.ahead
        self.blocks.share(prefix_blocks)
        return prefix_blocks + found

    def _grows(self, sequence: Sequence) -> bool:
        return self.blocks.needed(sequence.max_size) > len(sequence.blocks)

    def _register(self, sequence: Sequence) -> None:
        """Make the content of its full blocks known."""
        if sequence.keys is None:
            return
        keys = sequence.keys.upto(sequence.token_ids, sequence.computed)
        first = sequence.keys.first
        for index in range(max(sequence.registered, first), first + len(keys)):
            self.blocks.register(sequence.blocks[index], keys[index - first])
        sequence.registered = max(sequence.registered, first + len(keys))

    def _free(self, sequence: Sequence) -> None:
        if sequence.blocks:
            self._register(sequence)
        self.blocks.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = sequence.registered = 0
