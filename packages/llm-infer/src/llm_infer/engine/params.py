"""What a request may ask for: how its tokens are chosen and when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from llm_infer.errors import SamplingError

GREEDY_BELOW = 1e-5
"""Temperature under which the likeliest token is taken: float32 cannot tell it from 0."""
PENALTIES = (0.01, 100.0)
"""Bounds of repetition_penalty; beyond them penalized logits leave the range of float32."""


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    """Parameters of one request; the default is greedy until the context is full.

    `temperature` below 1e-5, `top_k` 1 and `top_p` 0 each mean greedy. `top_k` 0 keeps all tokens.
    Filters apply in this order: repetition_penalty, temperature, top_k, top_p. `seed` makes the
    samples repeatable whatever else runs in the engine. Raises SamplingError for a value out of
    range.
    """

    max_new_tokens: int | None = None
    """Most tokens to generate; None: as many as fit."""
    min_new_tokens: int = 0
    """No end-of-sequence token, stop id or stop string counts before this many tokens."""
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    """Divides positive and multiplies negative logits of tokens seen in prompt or answer (CTRL,
    arXiv:1909.05858)."""
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it."""
    ignore_eos: bool = False
    """Go on after the model's end-of-sequence token (benchmarks)."""

    def __post_init__(self) -> None:
        self._check("temperature", self.temperature, 0.0, None)
        self._check("top_k", self.top_k, 0, None)
        self._check("top_p", self.top_p, 0.0, 1.0)
        self._check("min_new_tokens", self.min_new_tokens, 0, None)
        if self.max_new_tokens is not None:
            self._check("max_new_tokens", self.max_new_tokens, 1, None)
            self._check("min_new_tokens", self.min_new_tokens, 0, self.max_new_tokens)
        self._check("repetition_penalty", self.repetition_penalty, *PENALTIES)
        if self.seed is not None:
            self._check("seed", self.seed, 0, None)
        if any(not text for text in self.stop):
            message = "stop holds an empty text, which would end every answer at once; remove it."
            raise SamplingError(message)

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_BELOW or self.top_k == 1 or self.top_p == 0

    @staticmethod
    def _check(name: str, value: float, low: float, high: float | None) -> None:
        if value >= low and (high is None or value <= high) and value != float("inf"):
            return
        bound = f"at least {low}" if high is None else f"between {low} and {high}"
        message = f"{name} is {value}; it must be {bound}."
        raise SamplingError(message)
