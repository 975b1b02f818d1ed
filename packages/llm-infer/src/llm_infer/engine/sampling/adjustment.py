"""Penalties, biases and bans: what changes logits before a token is chosen, for a batch at once.

In this order: `logit_bias` is added; `repetition_penalty` divides positive and multiplies negative
logits of tokens seen in prompt or answer (arXiv:1909.05858); `presence_penalty` and
`frequency_penalty` times the count are subtracted for tokens of the answer (OpenAI's definition);
banned tokens get -inf.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.sampling.rows import RowState
from llm_infer.errors import SamplingError

Logits = NDArray[np.float32]


def adjust(logits: Logits, rows: Sequence[RowState]) -> None:
    """Change `logits`, float32 [R, V], in place as each of the R `rows` asks."""
    _add_biases(logits, rows)
    _penalize_repetition(logits, rows)
    _penalize_counts(logits, rows)
    banned = [row.banned for row in rows]
    if any(banned):
        where = np.repeat(np.arange(len(rows)), [len(ids) for ids in banned])
        logits[where, np.array([i for ids in banned for i in ids], np.intp)] = -np.inf


def nothing_left() -> SamplingError:
    """The error of a row in which no token may come next."""
    message = (
        "Every token is banned, so none can be chosen: min_new_tokens bans the ends of an "
        "answer, and bad_words_ids or logit_bias the others. Bar fewer."
    )
    return SamplingError(message)


def _add_biases(logits: Logits, rows: Sequence[RowState]) -> None:
    biased = [(i, row.params.logit_bias) for i, row in enumerate(rows) if row.params.logit_bias]
    if not biased:
        return
    where = np.repeat([i for i, _ in biased], [len(bias) for _, bias in biased])
    ids = np.array([token_id for _, bias in biased for token_id in bias], np.intp)
    values = np.array([value for _, bias in biased for value in bias.values()], np.float32)
    logits[where, ids] += values


def _penalize_repetition(logits: Logits, rows: Sequence[RowState]) -> None:
    found = [(i, row.seen.ids, row.params) for i, row in enumerate(rows) if row.seen is not None]
    if not found:
        return
    sizes = [len(ids) for _, ids, _ in found]
    where = np.repeat([i for i, _, _ in found], sizes)
    ids = np.concatenate([ids for _, ids, _ in found])
    penalty = np.repeat(
        np.array([params.repetition_penalty for *_, params in found], np.float32), sizes
    )
    values = logits[where, ids]
    logits[where, ids] = np.where(values > 0, values / penalty, values * penalty)


def _penalize_counts(logits: Logits, rows: Sequence[RowState]) -> None:
    found = [(i, row.made, row.params) for i, row in enumerate(rows) if row.made is not None]
    if not found:
        return
    sizes = [len(made.ids) for _, made, _ in found]
    where = np.repeat([i for i, _, _ in found], sizes)
    ids = np.concatenate([made.ids for _, made, _ in found])
    counts = np.concatenate([made.counts for _, made, _ in found])
    presence, frequency = (
        np.repeat(np.array(values, np.float32), sizes)
        for values in (
            [params.presence_penalty for *_, params in found],
            [params.frequency_penalty for *_, params in found],
        )
    )
    logits[where, ids] -= presence + frequency * counts
