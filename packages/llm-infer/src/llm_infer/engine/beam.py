"""Beam search: the continuations of a prompt with the highest log probability, kept side by side.

The rules are those of Hugging Face's generate: of all continuations of `num_beams` beams the best
ones go on; one that ends is finished with log probability / length ** length_penalty, if it is
among the `num_beams` best of its step; the best finished one is the answer. Each beam is a sequence
of the scheduler, so beams share blocks until they differ. Knows log probabilities, never a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_infer.engine.detokenizer import Decode
from llm_infer.engine.events import FinishReason, Sink, TokenEvent
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampling import RowState, log_softmax
from llm_infer.engine.sampling.adjustment import adjust, nothing_left
from llm_infer.engine.sequence import Sequence
from llm_infer.engine.text import AnswerText
from llm_infer.errors import SamplingError

Fork = Callable[[Sequence], Sequence]


@dataclass(slots=True, eq=False)
class Beam:
    """One continuation: its sequence, its history for penalties, its log probability so far."""

    sequence: Sequence
    row: RowState
    score: float
    candidates: list[tuple[float, int]] | None = None
    """(log probability with it, token), best first, once its logits are there."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A continuation that has ended, and how good it is."""

    token_ids: tuple[int, ...]
    score: float


class BeamRequest:
    """A request that is searched; `fork` makes another sequence of the scheduler from one."""

    def __init__(
        self,
        sequence: Sequence,
        params: SamplingParams,
        *,
        max_new_tokens: int,
        ending_ids: Iterable[int],
        decode: Decode | None,
        sink: Sink,
        deadline: float | None = None,
    ) -> None:
        self.request_id = sequence.request_id
        self.params = params
        self.sink = sink
        self.deadline = deadline
        self._ending = frozenset(ending_ids)
        self._decode = decode
        self._prompt = list(sequence.token_ids)
        self._max_new_tokens = max_new_tokens
        self._beams = [Beam(sequence, RowState(params, self._prompt, self._ending), 0.0)]
        self._finished: list[Finished] = []

    @property
    def sequences(self) -> list[Sequence]:
        """The sequences of all beams."""
        return [beam.sequence for beam in self._beams]

    def take(self, sequence: Sequence, logits: NDArray[np.float32]) -> None:
        """Take the logits [V] that follow one of the beams. Raises SamplingError for NaN."""
        [beam] = [beam for beam in self._beams if beam.sequence is sequence]
        if not np.isfinite(logits.max()):
            message = "The largest logit is not finite, so beams cannot be compared."
            raise SamplingError(message)
        scores = log_softmax(logits)
        if beam.row.adjusted:
            adjusted = scores.astype(np.float32)[None]
            adjust(adjusted, [beam.row])
            scores = adjusted[0].astype(np.float64)
        scores += beam.score
        # As many as would still leave num_beams if every ending token were among the best.
        wanted = min(max(2, 1 + len(self._ending)) * self.params.num_beams, len(scores))
        ids = np.argpartition(scores, len(scores) - wanted)[len(scores) - wanted :]
        ids = ids[np.lexsort((ids, -scores[ids]))]
        # A beam whose tokens are all banned ends here.
        beam.candidates = [(float(scores[i]), int(i)) for i in ids if scores[i] > -np.inf]

    def advance(self, fork: Fork) -> list[Sequence] | None:
        """Choose the next beams once all have their logits; the sequences that are left over.

        None: the search is done, and `answer` gives its events. Raises SamplingError where every
        token of all beams is banned before one has ended.
        """
        if any(beam.candidates is None for beam in self._beams):
            return []
        made = self._beams[0].row.generated + 1
        chosen, best = self._choose(made)
        if not chosen and not self._finished:
            raise nothing_left()
        if not chosen or self._is_done(best, made):
            return None
        if made >= self._max_new_tokens:
            for score, beam, token_id in chosen:
                self._finish(beam, token_id, score, made)
            return None
        return self._continue(chosen, fork)

    def answer(self) -> list[TokenEvent]:
        """The events of the best answer, all at once."""
        best = max(self._finished, key=lambda finished: finished.score)
        return list(self._events(best.token_ids))

    def end(self, reason: FinishReason, error: str = "") -> TokenEvent:
        """The event that ends the request without a token."""
        return TokenEvent(self.request_id, None, "", reason, error)

    def _choose(self, made: int) -> tuple[list[tuple[float, Beam, int]], float]:
        """The best continuations that go on, and the best score of all; ended ones are kept."""
        count = self.params.num_beams
        ranked = sorted(
            (
                (score, number, token_id)
                for number, beam in enumerate(self._beams)
                for score, token_id in beam.candidates or []
            ),
            key=lambda item: (-item[0], item[1], item[2]),
        )
        chosen: list[tuple[float, Beam, int]] = []
        for rank, (score, number, token_id) in enumerate(ranked):
            if len(chosen) == count:
                break
            beam = self._beams[number]
            if token_id not in self._ending:
                chosen.append((score, beam, token_id))
            elif rank < count:
                self._finish(beam, token_id, score, made)
        return chosen, ranked[0][0] if ranked else -np.inf

    def _finish(self, beam: Beam, token_id: int, score: float, made: int) -> None:
        tokens = (*beam.sequence.token_ids[len(self._prompt) :], token_id)
        self._finished.append(Finished(tokens, score / made**self.params.length_penalty))
        self._finished.sort(key=lambda finished: -finished.score)
        del self._finished[self.params.num_beams :]

    def _is_done(self, best: float, made: int) -> bool:
        """Whether no running beam is to be waited for; `best`: the best score of this step."""
        params = self.params
        if len(self._finished) < params.num_beams:
            return False
        if params.early_stopping is True:
            return True
        length = made
        if params.early_stopping == "never" and params.length_penalty > 0:
            length = self._max_new_tokens
        return self._finished[-1].score >= best / length**params.length_penalty

    def _continue(self, chosen: list[tuple[float, Beam, int]], fork: Fork) -> list[Sequence]:
        left_over = [beam.sequence for beam in self._beams]
        forks = []
        for score, parent, token_id in chosen:
            if parent.sequence in left_over:
                left_over.remove(parent.sequence)
                forks.append((Beam(parent.sequence, parent.row, score), token_id))
            else:
                forks.append((Beam(fork(parent.sequence), parent.row.fork(), score), token_id))
        # Only now, when every fork has been made from what its parent was.
        for beam, token_id in forks:
            beam.row.accept(token_id)
            beam.sequence.token_ids.append(token_id)
        self._beams = [beam for beam, _ in forks]
        return left_over

    def _events(self, token_ids: tuple[int, ...]) -> Iterable[TokenEvent]:
        text = AnswerText(self._decode, self._prompt, self.params)
        for made, token_id in enumerate(token_ids, 1):
            shown, reason = text.push(
                token_id, made, ending=token_id in self._ending, last=made == len(token_ids)
            )
            yield TokenEvent(self.request_id, token_id, shown, reason)
            if reason:
                return
