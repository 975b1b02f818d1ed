"""One token of each row: the likeliest, or a draw from what the filters leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.sampling.adjustment import adjust, nothing_left
from llm_infer.engine.sampling.filters import distribution
from llm_infer.engine.sampling.rows import RowState
from llm_infer.errors import SamplingError

Logits = NDArray[np.float32]


def sample(logits: Logits, rows: Sequence[RowState]) -> list[int | Exception]:
    """The next token of each row of `logits`, float32 [R, V]; ties go to the lowest id.

    A row from which no token can be taken gives its error instead: SamplingError for logits that
    are not finite, and where every token is banned.
    """
    likeliest = logits.argmax(axis=1)
    # argmax returns the first NaN there is, so this one value tells of all.
    largest = logits[np.arange(len(rows)), likeliest]
    tokens: list[int | Exception] = list(likeliest.tolist())
    sound = np.isfinite(largest)
    changed = [i for i, row in enumerate(rows) if sound[i] and row.adjusted]
    adjusted = logits[changed]
    if changed:
        adjust(adjusted, [rows[i] for i in changed])
        for i, scores, best in zip(changed, adjusted, adjusted.argmax(axis=1), strict=True):
            tokens[i] = nothing_left() if scores[best] == -np.inf else int(best)
    place = {i: number for number, i in enumerate(changed)}
    for i, row in enumerate(rows):
        if isinstance(tokens[i], Exception):
            continue
        try:
            if not sound[i]:
                raise _not_finite(largest[i])
            if row.random is not None:
                tokens[i] = _draw(adjusted[place[i]] if i in place else logits[i], row)
            row.accept(tokens[i])  # type: ignore[arg-type]
        except Exception as error:
            tokens[i] = error
    return tokens


def _not_finite(largest: np.float32) -> SamplingError:
    message = (
        f"The largest logit is {largest}, from which no token can be chosen. The weights may "
        "be damaged; compare their checksums with those of their origin."
    )
    return SamplingError(message)


def _draw(logits: Logits, row: RowState) -> int:
    """One token of a row, float32 [V], by the row's own random stream."""
    assert row.random is not None
    candidates, weights = distribution(logits, row.params)
    bounds = np.cumsum(weights)
    place = np.searchsorted(bounds, row.random.random() * bounds[-1], side="right")
    # The product above may round up to the last bound itself.
    return int(candidates[min(int(place), len(candidates) - 1)])
