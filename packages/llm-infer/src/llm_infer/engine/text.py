"""The text of one answer as it grows, cut at a stop string, and why it ends."""

from __future__ import annotations

from collections.abc import Sequence

from llm_infer.engine.detokenizer import Decode, Detokenizer
from llm_infer.engine.events import FinishReason
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.stop import StopMatcher


class AnswerText:
    """Text of the tokens that follow `prompt_ids`; always empty without `decode`."""

    def __init__(
        self, decode: Decode | None, prompt_ids: Sequence[int], params: SamplingParams
    ) -> None:
        self._min_new_tokens = params.min_new_tokens
        self._detokenizer = Detokenizer(decode, prompt_ids) if decode else None
        self._stop = StopMatcher(params.stop) if params.stop else None

    def push(
        self, token_id: int, made: int, *, ending: bool, last: bool
    ) -> tuple[str, FinishReason | None]:
        """What token number `made` (from 1) adds to the text, and the reason where it ends.

        `ending`: it is one that ends answers, which has no text; `last`: none may follow.
        """
        text, reason = "", None
        if ending:
            reason = FinishReason.STOP
        else:
            text, stopped = self._show(
                self._detokenizer.push(token_id) if self._detokenizer else "", made
            )
            if stopped:
                return text, FinishReason.STOP
            if last:
                reason = FinishReason.LENGTH
        if reason:
            rest, stopped = self._rest(made)
            text += rest
            reason = FinishReason.STOP if stopped else reason
        return text, reason

    def rest(self) -> str:
        """Text held back, for an answer that ends early."""
        return self._rest(self._min_new_tokens)[0]

    def _show(self, text: str, made: int) -> tuple[str, bool]:
        if self._stop is None or made < self._min_new_tokens:
            return text, False
        shown, stop = self._stop.push(text)
        return shown, stop is not None

    def _rest(self, made: int) -> tuple[str, bool]:
        """Text held back, at the end of the answer; it may still complete a stop string."""
        text, stopped = self._show(self._detokenizer.finish() if self._detokenizer else "", made)
        if stopped or self._stop is None:
            return text, stopped
        return text + self._stop.finish(), False
