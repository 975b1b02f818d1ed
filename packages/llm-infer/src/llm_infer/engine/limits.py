"""The sizes an engine works within, what it has done so far, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_infer.engine.params import SamplingParams
from llm_infer.errors import InferError, PromptTooLongError, SamplingError


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """How much an engine takes: the cache, the batch, and the model's own sizes."""

    num_blocks: int
    """Blocks of the KV cache."""
    block_size: int = 64
    """Tokens a block."""
    reserved_blocks: int = 0
    """Blocks beyond num_blocks, for tuned prefixes."""
    max_sequences: int = 32
    """Most sequences that run at once."""
    max_batch_tokens: int = 2048
    """Most tokens a step."""
    max_positions: int
    """Positions the model was made for."""
    vocab_size: int

    @property
    def max_length(self) -> int:
        """Most tokens of one sequence, prompt and answer."""
        return min(self.max_positions, self.num_blocks * self.block_size)

    def room(self, ahead: int = 0) -> int:
        """Most tokens of a sequence behind a tuned prefix of `ahead` places."""
        in_cache = self.num_blocks * self.block_size - ahead % self.block_size
        return min(self.max_positions - ahead, in_cache)

    def new_tokens(self, prompt_ids: Sequence[int], params: SamplingParams, ahead: int = 0) -> int:
        """Tokens to generate for a prompt behind a tuned prefix of `ahead` places.

        Raises PromptTooLongError when prompt and answer do not fit.
        """
        self._check_ids(prompt_ids)
        prompt, room = len(prompt_ids), self.room(ahead)
        wanted = params.max_new_tokens
        if prompt + (wanted or max(params.min_new_tokens, 1)) > room:
            sizes = (
                f"{_tokens(prompt, 'prompt')} and {_tokens(wanted, 'new')} make {prompt + wanted}"
                if wanted
                else f"Behind {_tokens(prompt, 'prompt')} there is no room for an answer"
            )
            message = (
                f"{sizes}; at most {room} fit in {self._bound()}"
                f"{f' behind the prefix of {ahead} places' if ahead else ''}. Shorten the prompt "
                "or ask for fewer tokens."
            )
            raise PromptTooLongError(message)
        return wanted or room - prompt

    def check_request(self, size: int, params: SamplingParams) -> None:
        """Raise SamplingError or PromptTooLongError for what this engine can never do.

        `size`: places that the sequence needs at most, what it shares with others left out.
        """
        named = [*params.logit_bias, *params.stop_token_ids]
        named += [token_id for word in params.bad_words_ids for token_id in word]
        unknown = [token_id for token_id in named if not 0 <= token_id < self.vocab_size]
        if unknown:
            message = (
                f"logit_bias, stop_token_ids or bad_words_ids name the token id {unknown[0]}, but "
                f"the model knows 0 to {self.vocab_size - 1}."
            )
            raise SamplingError(message)
        beams = params.num_beams
        if beams > min(self.max_sequences, self.max_batch_tokens):
            message = (
                f"num_beams is {beams}, but at most {self.max_sequences} sequences run at once; "
                "lower it or raise batch_size."
            )
            raise SamplingError(message)
        needed = -(-size // self.block_size)
        if beams > 1 and beams * needed > self.num_blocks:
            message = (
                f"{beams} beams of {size} tokens need up to {beams * needed} "
                f"blocks, but the KV cache has {self.num_blocks}. Ask for fewer tokens or beams, "
                "or raise num_blocks."
            )
            raise PromptTooLongError(message)

    def check_prefix(self, prefix: int) -> None:
        """Raise PromptTooLongError for a prefix that no step can read as a whole."""
        if prefix > self.max_batch_tokens:
            message = (
                f"The prompt begins with {prefix} tokens that see each other both ways and are "
                f"read in one step, which takes {self.max_batch_tokens}. Shorten the prompt or "
                "raise max_batch_tokens."
            )
            raise PromptTooLongError(message)

    def _bound(self) -> str:
        if self.max_positions <= self.num_blocks * self.block_size:
            return "the model's context"
        return f"the KV cache of {self.num_blocks} blocks of {self.block_size} tokens"

    def _check_ids(self, prompt_ids: Sequence[int]) -> None:
        if not prompt_ids:
            message = "The prompt is empty; give at least one token (the tokenizer adds no BOS)."
            raise InferError(message)
        low, high = min(prompt_ids), max(prompt_ids)
        if low < 0 or high >= self.vocab_size:
            message = (
                f"The prompt holds the token id {low if low < 0 else high}, but the model knows "
                f"0 to {self.vocab_size - 1}. Does the tokenizer belong to this model?"
            )
            raise InferError(message)


@dataclass(frozen=True, kw_only=True)
class EngineStats:
    """Counts since the engine was made, and what it holds now."""

    running: int
    waiting: int
    free_blocks: int
    num_blocks: int
    preemptions: int
    steps: int
    prompt_tokens: int
    """Prompt tokens of the requests that were taken in."""
    cached_tokens: int
    """Tokens that did not need to be read, as the cache held a common beginning."""
    cached_blocks: int
    """Free blocks whose content is kept for whoever comes with the same beginning."""
    generated_tokens: int
    drafted_tokens: int
    """Tokens that speculation drafted."""
    accepted_tokens: int
    """Drafted tokens that were right, so that they cost no step of their own."""
    step_seconds: float
    """Wall-clock time in step()."""
    decoder_seconds: float
    """The part of it spent in the decoder; the rest is scheduling, sampling and text."""


def _tokens(count: int, kind: str) -> str:
    return f"{count} {kind} token{'' if count == 1 else 's'}"
