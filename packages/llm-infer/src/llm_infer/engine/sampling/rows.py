"""What sampling remembers of one request: its random stream and the tokens that it has seen."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.params import SamplingParams

_FIRST_ROOM = 64


class TokenCounts:
    """How often each token was seen, as two arrays that grow; a token is added in constant time."""

    def __init__(self, token_ids: Iterable[int] = ()) -> None:
        self._place: dict[int, int] = {}
        self._ids = np.zeros(_FIRST_ROOM, np.intp)
        self._counts = np.zeros(_FIRST_ROOM, np.float32)
        for token_id in token_ids:
            self.add(token_id)

    def add(self, token_id: int) -> None:
        """Count `token_id` once more."""
        place = self._place.setdefault(token_id, len(self._place))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._ids[place] = token_id
        self._counts[place] += 1

    @property
    def ids(self) -> NDArray[np.intp]:
        """The distinct tokens, in the order in which they came."""
        return self._ids[: len(self._place)]

    @property
    def counts(self) -> NDArray[np.float32]:
        """How often each of `ids` came."""
        return self._counts[: len(self._place)]

    def copy(self) -> TokenCounts:
        """The same counts, to go on from separately."""
        other = TokenCounts()
        other._place = dict(self._place)
        other._ids, other._counts = self._ids.copy(), self._counts.copy()
        return other


class RowState:
    """The random stream of one request, the tokens seen, and how many were made.

    `ending_ids` are the tokens that end the answer; they are banned for `min_new_tokens`.
    `seen` counts prompt and answer, `made` the answer alone; None where no penalty needs them.
    """

    def __init__(
        self, params: SamplingParams, prompt_ids: Iterable[int], ending_ids: Iterable[int]
    ) -> None:
        self.params = params
        self.generated = 0
        self.random = None if params.greedy else np.random.default_rng(params.seed)
        self.seen = TokenCounts(prompt_ids) if params.repetition_penalty != 1 else None
        counted = params.presence_penalty or params.frequency_penalty
        self.made = TokenCounts() if counted else None
        self._ending = list(ending_ids) if params.min_new_tokens else []
        self._recent: list[int] | None = None
        if any(len(word) > 1 for word in params.bad_words_ids):
            self._recent = list(prompt_ids)

    @property
    def plain(self) -> bool:
        """Whether the next token is simply the likeliest one."""
        return self.random is None and not self.adjusted

    @property
    def adjusted(self) -> bool:
        """Whether the logits are changed before a token is chosen."""
        counted = self.seen is not None or self.made is not None
        return counted or bool(self.params.logit_bias) or bool(self.banned)

    @property
    def banned(self) -> list[int]:
        """Tokens that may not come next: endings that are too early, ends of banned words."""
        banned = list(self._ending) if self.generated < self.params.min_new_tokens else []
        for *before, last in self.params.bad_words_ids:
            if not before or (self._recent and self._recent[-len(before) :] == before):
                banned.append(last)
        return banned

    def accept(self, token_id: int) -> None:
        """Record that `token_id` was chosen."""
        self.generated += 1
        for counts in (self.seen, self.made):
            if counts is not None:
                counts.add(token_id)
        if self._recent is not None:
            self._recent.append(token_id)

    def fork(self) -> RowState:
        """The state of another continuation of the same tokens; greedy rows only."""
        assert self.random is None, "a random stream cannot be shared"
        other = RowState(self.params, (), self._ending)
        other.generated = self.generated
        other.seen = self.seen.copy() if self.seen else None
        other.made = self.made.copy() if self.made else None
        other._recent = None if self._recent is None else list(self._recent)
        return other
