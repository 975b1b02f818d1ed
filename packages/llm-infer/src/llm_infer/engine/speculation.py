"""Drafts from the text itself: what followed the last tokens when they came before.

Prompt lookup (n-gram) speculation: summaries, code and answers over a document repeat stretches of
what was read. The draft is checked in one step of the model, so the tokens stay the same.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_DRAFT = 4
"""Tokens of a first draft."""
LONGEST_DRAFT = 16
"""Most tokens of a draft: each is a row that the step computes, right or wrong."""


class Speculator:
    """Looks for the last `ngram` tokens (at least two, or `ngram` if that is 1) in all before.

    The longest match counts, and of equal ones the latest. Drafts grow while they are right and
    shrink while they are wrong.
    """

    def __init__(self, ngram: int) -> None:
        self._sizes = range(ngram, min(ngram, 2) - 1, -1)
        # Where each n-gram ended last, but for the one at the very end: nothing follows that.
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = 0
        self._length = FIRST_DRAFT

    def propose(self, token_ids: Sequence[int], room: int) -> list[int]:
        """Up to `room` tokens that may follow `token_ids`; empty where nothing is found."""
        self._index(token_ids)
        for size in self._sizes:
            end = self._ends.get(tuple(token_ids[-size:])) if len(token_ids) > size else None
            if end is not None:
                return self._following(token_ids, end, min(self._length, room))
        return []

    @staticmethod
    def _following(token_ids: Sequence[int], start: int, count: int) -> list[int]:
        """`count` tokens from `start` on, as if what is found repeated for ever."""
        period = len(token_ids) - start
        return [token_ids[start + i % period] for i in range(count)]

    def update_draft_length(self, drafted: int, accepted: int) -> None:
        """Learn how many of the last draft's tokens were right."""
        if accepted == drafted:
            self._length = min(2 * self._length, LONGEST_DRAFT)
        elif accepted < drafted / 2:
            self._length = max(self._length // 2, 1)

    def _index(self, token_ids: Sequence[int]) -> None:
        """Note the n-grams that end before the last token."""
        for end in range(self._indexed + 1, len(token_ids)):
            for size in self._sizes:
                if end >= size:
                    self._ends[tuple(token_ids[end - size : end])] = end
        self._indexed = max(self._indexed, len(token_ids) - 1)
