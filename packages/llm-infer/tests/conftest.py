"""A decoder for tests that reads the very tokens its cache holds, and what it should answer."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from llm_infer.engine import Engine, EngineLimits, FinishReason, SamplingParams, TokenEvent
from llm_kernels.decoder import StepBatch

VOCAB = 97
NextLogits = Callable[[list[int]], np.ndarray]


def hashed_logits(context: list[int]) -> np.ndarray:
    """Random logits that depend on every token before them, float32 [V]."""
    seed = zlib.crc32(np.array(context, np.int32).tobytes())
    return np.random.default_rng(seed).standard_normal(VOCAB).astype(np.float32)


class PagedTokens:
    """A step runner whose cache holds token ids: a wrong block table changes the answer."""

    def __init__(self, limits: EngineLimits, next_logits: NextLogits = hashed_logits) -> None:
        self.cache = np.full((limits.num_blocks, limits.block_size), -1)
        self.block_size = limits.block_size
        self.next_logits = next_logits
        self.batch_tokens: list[int] = []
        self.batch_sequences: list[int] = []
        self.copied = 0

    def copy_blocks(self, copies: list[tuple[int, int]]) -> None:
        for source, target in copies:
            self.cache[target] = self.cache[source]
        self.copied += len(copies)

    def step(self, batch: StepBatch) -> np.ndarray:
        self.batch_tokens.append(len(batch.token_ids))
        self.batch_sequences.append(len(batch.context_length))
        sequence_of = np.repeat(np.arange(len(batch.context_length)), np.diff(batch.query_start))
        for token, position, row in zip(batch.token_ids, batch.positions, sequence_of, strict=True):
            block = batch.block_tables[row, position // self.block_size]
            self.cache[block, position % self.block_size] = token
        rows = []
        for row in batch.logits_rows:
            sequence, end = sequence_of[row], batch.positions[row] + 1
            assert end <= batch.context_length[sequence]
            context = self.cache[batch.block_tables[sequence]].ravel()[:end]
            assert (context >= 0).all(), "a cell of the cache is read before it is written"
            rows.append(self.next_logits(context.tolist()))
        return np.array(rows, np.float32) if rows else np.zeros((0, VOCAB), np.float32)


class Harness:
    """Engines over `PagedTokens`, the answers they gave, and the answers they should give."""

    def __init__(self, next_logits: NextLogits = hashed_logits) -> None:
        self.next_logits = next_logits

    def engine(
        self,
        *,
        decode: Callable[[list[int]], str] | None = None,
        prefix_cache: bool = True,
        speculate_ngram: int = 0,
        **limits: int,
    ) -> Engine:
        sizes = {"num_blocks": 64, "block_size": 4, "max_positions": 200, "vocab_size": VOCAB}
        made = EngineLimits(**{**sizes, **limits})
        return Engine(
            PagedTokens(made, self.next_logits),
            made,
            eos_token_ids=[0],
            decode=decode,
            prefix_cache=prefix_cache,
            speculate_ngram=speculate_ngram,
        )

    def expected(self, prompt: list[int], count: int) -> list[int]:
        """Greedy tokens one at a time, without an engine; stops after the EOS token 0."""
        tokens = list(prompt)
        while len(tokens) < len(prompt) + count:
            tokens.append(int(self.next_logits(tokens).argmax()))
            if tokens[-1] == 0:
                break
        return tokens[len(prompt) :]

    @staticmethod
    def run(engine: Engine) -> dict[int, list[TokenEvent]]:
        """Step until nothing is left; the events of each request."""
        events: dict[int, list[TokenEvent]] = {}
        while engine.has_work:
            for event in engine.step():
                events.setdefault(event.request_id, []).append(event)
        assert all(seen[-1].finish_reason for seen in events.values())
        assert not any(event.finish_reason for seen in events.values() for event in seen[:-1])
        return events

    @classmethod
    def generate(
        cls, engine: Engine, prompts: list[list[int]], params: SamplingParams
    ) -> list[list[int]]:
        """The tokens of each prompt's answer, all submitted at once."""
        ids = [engine.add_request(prompt, params) for prompt in prompts]
        events = cls.run(engine)
        assert all(events[i][-1].finish_reason is not FinishReason.ERROR for i in ids)
        return [[e.token_id for e in events[i] if e.token_id is not None] for i in ids]

    @staticmethod
    def prompts(count: int, low: int = 1, high: int = 40, seed: int = 0) -> list[list[int]]:
        """Random prompts of random length."""
        random = np.random.default_rng(seed)
        return [
            random.integers(1, VOCAB, random.integers(low, high)).tolist() for _ in range(count)
        ]


@pytest.fixture
def harness() -> Harness:
    """Builds engines over the token-reading decoder."""
    return Harness()


@pytest.fixture
def make_harness() -> type[Harness]:
    """The class itself, for another source of logits."""
    return Harness
