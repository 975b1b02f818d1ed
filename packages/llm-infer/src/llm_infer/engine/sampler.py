"""From logits to the next token of each row.

Rows are independent: a row's token depends on its logits, its parameters and its own random stream,
never on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.params import SamplingParams
from llm_infer.errors import SamplingError

Logits = NDArray[np.float32]

_NUCLEUS_GUESS = 1024
"""Likeliest tokens among which a nucleus is looked for before all of V is sorted."""


class RowState:
    """What sampling remembers of one request: its random stream, the tokens seen, how many made.

    `ending_ids` are the tokens that end the answer; they are barred for `min_new_tokens`.
    """

    def __init__(
        self, params: SamplingParams, prompt_ids: Iterable[int], ending_ids: Iterable[int]
    ) -> None:
        self.params = params
        self.generated = 0
        self.random = None if params.greedy else np.random.default_rng(params.seed)
        self._seen = set(prompt_ids) if params.repetition_penalty != 1 else None
        self._ending = list(ending_ids) if params.min_new_tokens else []

    @property
    def plain(self) -> bool:
        """Whether the next token is simply the likeliest one."""
        return self.random is None and self._seen is None and not self.barred

    @property
    def barred(self) -> list[int]:
        """Tokens that may not come next."""
        return self._ending if self.generated < self.params.min_new_tokens else []

    @property
    def seen(self) -> NDArray[np.intp] | None:
        """Distinct tokens of prompt and answer, where a penalty needs them."""
        return None if self._seen is None else np.fromiter(self._seen, np.intp, len(self._seen))

    def accept(self, token_id: int) -> None:
        """Record that `token_id` was chosen."""
        self.generated += 1
        if self._seen is not None:
            self._seen.add(token_id)


def sample(logits: Logits, rows: Sequence[RowState]) -> list[int | Exception]:
    """The next token of each row of `logits`, float32 [R, V]; ties go to the lowest id.

    A row from which no token can be taken gives its error instead: SamplingError for logits that
    are not finite.
    """
    tokens: list[int | Exception] = []
    for index, likeliest in enumerate(logits.argmax(axis=1).tolist()):
        try:
            tokens.append(_next(logits[index], likeliest, rows[index]))
        except Exception as error:
            tokens.append(error)
    return tokens


def _next(logits: Logits, likeliest: int, row: RowState) -> int:
    # argmax returns the first NaN there is, so this one value tells of all.
    _check_finite(logits[likeliest])
    token_id = likeliest if row.plain else _pick(logits, row)
    row.accept(token_id)
    return token_id


def _check_finite(largest: np.float32) -> None:
    if not np.isfinite(largest):
        message = (
            f"The largest logit is {largest}, from which no token can be chosen. The weights may "
            "be damaged; compare their checksums with those of their origin."
        )
        raise SamplingError(message)


def _pick(logits: Logits, row: RowState) -> int:
    """One token of a row, float32 [V]."""
    logits = _penalized(logits, row)
    if row.random is None:
        return int(logits.argmax())
    candidates, weights = distribution(logits, row.params)
    bounds = np.cumsum(weights)
    place = np.searchsorted(bounds, row.random.random() * bounds[-1], side="right")
    # The product above may round up to the last bound itself.
    return int(candidates[min(int(place), len(candidates) - 1)])


def _penalized(logits: Logits, row: RowState) -> Logits:
    seen, barred = row.seen, row.barred
    if seen is None and not barred:
        return logits
    logits = logits.copy()
    if seen is not None:
        penalty = np.float32(row.params.repetition_penalty)
        values = logits[seen]
        logits[seen] = np.where(values > 0, values / penalty, values * penalty)
    logits[barred] = -np.inf
    return logits


def distribution(
    logits: Logits, params: SamplingParams
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Tokens that temperature, top_k and top_p leave, likeliest first, and weights up to a factor.

    The weights are softmax(logits / temperature) (nucleus sampling: arXiv:1904.09751).
    """
    scaled = logits.astype(np.float64)
    # Before the division, which overflows for logits of a thousand and a tiny temperature.
    scaled -= scaled.max()
    scaled /= params.temperature
    size = len(scaled)
    keep = min(params.top_k or size, size)
    if params.top_p >= 1:
        candidates = _likeliest(scaled, keep) if keep < size else np.arange(size)
        return candidates, np.exp(scaled[candidates])
    if keep < size:
        return _nucleus(scaled, _likeliest(scaled, keep), params.top_p, total=None)
    total = float(np.exp(scaled).sum())
    guess = _likeliest(scaled, min(_NUCLEUS_GUESS, size))
    if np.exp(scaled[guess]).sum() < params.top_p * total:
        guess = _likeliest(scaled, size)
    return _nucleus(scaled, guess, params.top_p, total)


def _likeliest(scaled: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """The `count` largest, in descending order, ties by id."""
    size = len(scaled)
    kept = np.argpartition(scaled, size - count)[size - count :] if count < size else None
    ids = np.arange(size) if kept is None else kept
    return ids[np.lexsort((ids, -scaled[ids]))]


def _nucleus(
    scaled: NDArray[np.float64], ordered: NDArray[np.intp], top_p: float, total: float | None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The shortest beginning of `ordered` whose weight reaches `top_p` of `total`."""
    weights = np.exp(scaled[ordered])
    bounds = np.cumsum(weights)
    count = int(np.searchsorted(bounds, top_p * (total or bounds[-1]))) + 1
    return ordered[:count], weights[:count]
