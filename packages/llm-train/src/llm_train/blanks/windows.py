"""Windows of running text as blanks: GLM's objective for long documents.

Of every window the first part, none to a half of it, is the context, with the mask token at its
end; the rest, half of the window to all of it, is what the model writes (arXiv:2103.10360, section
2.2, "document-level"). The short spans of the paper's other objectives are not drawn: they teach
representations, and lengthen a window by an unknown number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from llm_data.sft import IGNORED
from llm_train.blanks.answers import Sample
from llm_train.blanks.fields import context_and_answer
from llm_train.blanks.tokens import BlankTokens

if TYPE_CHECKING:
    from llm_train.loop.data import Samples

ADDED = 2
"""Tokens of a blank that its window has not: mask and start."""


class BlankWindows:
    """`windows[i]` -> window i of T tokens as a blank of T + ADDED tokens, the same every time."""

    def __init__(self, samples: Samples, tokens: BlankTokens, seed: int) -> None:
        self._samples, self._tokens, self._seed = samples, tokens, seed

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        """Blank `index`; where it begins is drawn from the seed and the index."""
        window = self._samples[index]
        most = len(window["input_ids"]) // 2
        rng = np.random.default_rng([self._seed, index])
        return blank_of(window, self._tokens, int(rng.integers(0, most + 1)))


def blank_of(window: Mapping[str, np.ndarray], tokens: BlankTokens, context: int) -> Sample:
    """The blank of a window (`input_ids`, shifted `labels`, [T]) behind its first tokens."""
    ids, labels = np.asarray(window["input_ids"]), np.asarray(window["labels"])
    asked = np.concatenate([ids[:context], [tokens.masks[0], tokens.start]])
    # Not looked for in the text, which may hold such tokens itself.
    places = np.stack([np.arange(context + 2), np.zeros(context + 2, dtype=np.int64)])
    places[:, -1] = context, 1
    hidden = np.full(context + 1, IGNORED)
    return context_and_answer(
        places,
        context + 1,
        np.concatenate([asked, ids[context:]]),
        np.concatenate([hidden, ids[context : context + 1], labels[context:]]),
    )
