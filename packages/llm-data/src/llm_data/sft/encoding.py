"""A conversation to ids and labels, with PaddleNLP's rules of truncation, each cut counted.

Without a template: the question keeps its last `src_length` ids (special tokens around it stay),
the answer gets the rest of `max_length`, and EOS follows only when the answer is whole and there
is room. With a template: whole rounds are dropped, oldest first; if the last round alone is too
long, its question keeps the first `src_length` ids (less the system's) and its answer what room
is left; the system text is never cut. Labels of questions are -100.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_data.chat_template import ChatTemplate, Conversation, encode_conversation
from llm_data.errors import RecordError, SampleError, TokenizerError
from llm_data.indexed.layout import IntArray
from llm_data.tokenizer import Tokenizer
from llm_data.tokenizer.surroundings import surroundings

IGNORED = -100
"""The label of tokens that are not learnt."""
UNTRAINED = "no trained token is left"
"""Reason for a record of which nothing would be learnt."""


@dataclass(frozen=True)
class EncodedSample:
    """One sample of T tokens and what had to be cut for it."""

    input_ids: IntArray
    """int64 [T]"""
    labels: IntArray
    """int64 [T], shifted: labels[i] is what follows input_ids[i]; -100 is not learnt."""
    source_cut: bool
    target_cut: bool
    rounds_dropped: int
    ends: bool
    """Whether the sample learns where to stop: EOS, or the special token that its template ends an
    answer with, is the last thing learnt (blank text may follow)."""

    @property
    def cut(self) -> bool:
        """Whether any text of the record is missing."""
        return self.source_cut or self.target_cut or self.rounds_dropped > 0

    @property
    def trained_tokens(self) -> int:
        """Labels that are learnt."""
        return int(np.count_nonzero(self.labels != IGNORED))


@dataclass
class SampleEncoder:
    """Encodes conversations of one data set; pure: the same record gives the same sample."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    src_length: int = 1024
    max_length: int = 2048

    def __post_init__(self) -> None:
        if not 0 < self.src_length < self.max_length:
            message = (
                f"--src_length {self.src_length} must be above 0 and below --max_length "
                f"{self.max_length}, which holds the question and the answer."
            )
            raise SampleError(message)
        if self.template is None and self.tokenizer.eos_token_id is None:
            message = (
                f"Tokenizer {self.tokenizer.path} has no eos_token, so no answer would learn where "
                "to stop. Name one in tokenizer_config.json, or give a --chat_template."
            )
            raise TokenizerError(message)
        self._special = frozenset(self.tokenizer.special_tokens.values())
        self._around = surroundings(self.tokenizer)

    def encode(self, conversation: Conversation) -> EncodedSample:
        """The sample of a conversation. Raises RecordError with a reason when there is none."""
        if self.template is None:
            return self._plain(conversation)
        return self._rounds(self.template, conversation)

    def _plain(self, conversation: Conversation) -> EncodedSample:
        if len(conversation.rounds) != 1 or conversation.system or conversation.tools:
            message = "several rounds, a system text or tools need a chat template"
            raise RecordError(message)
        (only,) = conversation.rounds
        assert only.answer is not None
        source, source_cut = self._source(only.asked[0].content)
        target = self.tokenizer.encode(only.answer.content)
        room = self.max_length - len(source)
        target_cut = len(target) > room
        target = target[:room]
        if len(target) < room and self.tokenizer.eos_token_id is not None:
            target.append(self.tokenizer.eos_token_id)
        return self._sample([(source, False), (target, True)], source_cut, target_cut, 0)

    def _source(self, text: str) -> tuple[list[int], bool]:
        whole = self.tokenizer.encode(text, add_special_tokens=True)
        if len(whole) <= self.src_length:
            return whole, False
        bare = self.tokenizer.encode(text)
        room = max(self.src_length - (len(whole) - len(bare)), 0)
        around = self._around
        return [*around.before, *bare[len(bare) - room :], *around.after], True

    def _rounds(self, template: ChatTemplate, conversation: Conversation) -> EncodedSample:
        encoded = encode_conversation(template, conversation, self.tokenizer)
        room = self.max_length - len(encoded.system)
        if room <= 0:
            message = "the system text alone fills max_length"
            raise RecordError(message)
        parts: list[tuple[list[int], bool]] = []
        kept, used = 0, 0
        source_cut = target_cut = False
        learnt = [item.answer is not None and item.answer.trained for item in conversation.rounds]
        for (asked, answer), trained in zip(encoded.rounds[::-1], learnt[::-1], strict=True):
            if used + len(asked) + len(answer) > room:
                if kept:
                    break
                limit = max(self.src_length - len(encoded.system), 0)
                source_cut = len(asked) > limit
                asked = asked[:limit]
                target_cut = len(answer) > room - len(asked)
                answer = answer[: room - len(asked)]
            parts = [(asked, False), (answer, trained), *parts]
            used += len(asked) + len(answer)
            kept += 1
        dropped = len(encoded.rounds) - kept
        return self._sample([(encoded.system, False), *parts], source_cut, target_cut, dropped)

    def _sample(
        self, parts: list[tuple[list[int], bool]], source_cut: bool, target_cut: bool, dropped: int
    ) -> EncodedSample:
        ids = np.asarray([i for part, _ in parts for i in part], dtype=np.int64)
        trained = np.repeat([learn for _, learn in parts], [len(part) for part, _ in parts])
        labels = np.where(trained, ids, IGNORED)[1:]
        ends = self._ends(parts[-1][0]) and parts[-1][1]
        sample = EncodedSample(ids[:-1], labels, source_cut, target_cut, dropped, ends)
        if sample.trained_tokens == 0:
            raise RecordError(UNTRAINED)
        return sample

    def _ends(self, answer: list[int]) -> bool:
        after = next((i for i in range(len(answer)) if answer[-1 - i] in self._special), None)
        if after is None:
            return False
        return not self.tokenizer.decode(answer[len(answer) - after :]).strip()
