"""What a request may ask for: how its tokens are chosen and when it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_infer.errors import SamplingError

GREEDY_BELOW = 1e-5
"""Temperature under which the likeliest token is taken: float32 cannot tell it from 0."""
PENALTIES = (0.01, 100.0)
"""Bounds of repetition_penalty; beyond them penalized logits leave the range of float32."""
COUNT_PENALTY = 2.0
"""Most that presence_penalty and frequency_penalty are, either way, as in OpenAI's API."""
MAX_LOGPROBS = 20
"""Most likeliest tokens whose log probabilities are told beside a token's own."""
MAX_BIAS = 1e4
"""Most that logit_bias adds or takes; far beyond what decides, and still exact in float32."""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Parameters of one request; the default is greedy until the context is full.

    `temperature` below 1e-5, `top_k` 1 and `top_p` 0 each mean greedy. `top_k` 0 keeps all tokens.
    What changes logits is applied in this order: logit_bias, repetition_penalty, presence_penalty
    and frequency_penalty, bans (min_new_tokens, bad_words_ids), temperature, top_k, top_p, min_p.
    `seed` makes the samples repeatable whatever else runs in the engine. Raises SamplingError for a
    value out of range.
    """

    max_new_tokens: int | None = None
    """Most tokens to generate; None: as many as fit."""
    min_new_tokens: int = 0
    """No end-of-sequence token, stop id or stop string counts before this many tokens."""
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    """Drops tokens less likely than this share of the likeliest one (arXiv:2407.01082)."""
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens seen in prompt or answer (CTRL,
    arXiv:1909.05858)."""
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens that the answer holds already."""
    frequency_penalty: float = 0.0
    """Subtracted, times how often the answer holds the token."""
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    """Added to the logits of these tokens."""
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    """Sequences of tokens that the answer must not hold; their last token is banned in time."""
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""
    ignore_eos: bool = False
    """Go on after the model's end-of-sequence token (benchmarks)."""
    logprobs: int | None = None
    """Tell the log probability of each token, and of this many likeliest ones beside it."""
    prompt_logprobs: int | None = None
    """The same for the prompt's tokens, with the first event."""
    timeout_s: float | None = None
    """Seconds after which the request ends as it is, with the reason DEADLINE."""
    prefix: str | None = None
    """Name of a tuned prefix of the engine that stands before the prompt."""
    adapter: str | None = None
    """Name of a LoRA adapter of the engine."""
    num_beams: int = 1
    """Above 1: beam search of this width; tokens come when it is done."""
    length_penalty: float = 1.0
    """Beams are compared by their log probability / length ** length_penalty."""
    early_stopping: bool | Literal["never"] = False
    """When a search ends: True: with num_beams finished ones; False: when none that runs looks
    better; "never": when none can become better."""

    def __post_init__(self) -> None:
        self._check("temperature", self.temperature, 0.0, None)
        self._check("top_k", self.top_k, 0, None)
        self._check("top_p", self.top_p, 0.0, 1.0)
        self._check("min_p", self.min_p, 0.0, 1.0)
        self._check("min_new_tokens", self.min_new_tokens, 0, None)
        if self.max_new_tokens is not None:
            self._check("max_new_tokens", self.max_new_tokens, 1, None)
            self._check("min_new_tokens", self.min_new_tokens, 0, self.max_new_tokens)
        self._check("repetition_penalty", self.repetition_penalty, *PENALTIES)
        self._check("presence_penalty", self.presence_penalty, -COUNT_PENALTY, COUNT_PENALTY)
        self._check("frequency_penalty", self.frequency_penalty, -COUNT_PENALTY, COUNT_PENALTY)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                self._check(name, getattr(self, name), 0, MAX_LOGPROBS)
        if self.seed is not None:
            self._check("seed", self.seed, 0, None)
        if self.timeout_s is not None:
            self._check("timeout_s", self.timeout_s, 0.0, None)
        self._check_lists()
        self._check_beams()

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW or self.top_k == 1 or self.top_p == 0

    def _check_lists(self) -> None:
        if any(not text for text in self.stop):
            message = "stop holds an empty text, which would end every answer at once; remove it."
            raise SamplingError(message)
        if any(not word for word in self.bad_words_ids):
            message = "bad_words_ids holds an empty list, which bans nothing; remove it."
            raise SamplingError(message)
        for token_id, value in self.logit_bias.items():
            self._check(f"logit_bias of token {token_id}", value, -MAX_BIAS, MAX_BIAS)

    def _check_beams(self) -> None:
        self._check("num_beams", self.num_beams, 1, None)
        if not math.isfinite(self.length_penalty):
            message = f"length_penalty is {self.length_penalty}; it must be a finite number."
            raise SamplingError(message)
        if self.early_stopping not in (True, False, "never"):
            message = f"early_stopping is {self.early_stopping!r}; possible: true, false, never."
            raise SamplingError(message)
        if self.num_beams == 1:
            return
        if not self.greedy:
            message = (
                f"num_beams is {self.num_beams}, but beams are not sampled: set temperature to 0, "
                "or num_beams to 1."
            )
            raise SamplingError(message)
        for name in ("logprobs", "prompt_logprobs"):
            if getattr(self, name) is not None:
                message = f"{name} cannot be told with a beam search; leave one of them out."
                raise SamplingError(message)

    @staticmethod
    def _check(name: str, value: float, low: float, high: float | None) -> None:
        if value >= low and (high is None or value <= high) and value != float("inf"):
            return
        bound = f"at least {low}" if high is None else f"between {low} and {high}"
        message = f"{name} is {value}; it must be {bound}."
        raise SamplingError(message)
