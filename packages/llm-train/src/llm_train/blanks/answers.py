"""Supervised samples as blanks: the question holds the mask token, the answer replaces it.

The last answer of a sample is learnt: what stands before it is seen both ways, so an earlier answer
would be asked for what it sees. Its labels begin at the start token's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from llm_data.packing import PackedDataset, Samples
from llm_data.sft import IGNORED, SampleEncoder, parse_record
from llm_data.tokenizer.surroundings import surroundings
from llm_kernels.families import prefix_positions
from llm_train.blanks.fields import context_and_answer
from llm_train.blanks.tokens import BlankTokens

Sample = dict[str, np.ndarray]
_PROBE = {"src": "a", "tgt": "a"}


@dataclass(frozen=True)
class AnswerLayout:
    """How a question and an answer become a sample.

    `closing`: what the tokenizer puts behind every question, mask tokens go before it. `added`: the
    tokens that a question lacks. `eos` of an answer is replaced by the family's own end; None: not.
    """

    tokens: BlankTokens
    closing: tuple[int, ...] = ()
    added: int = 0
    eos: int | None = None

    def question(self, ids: list[int]) -> list[int]:
        """`ids` with the mask and the start token, where they are not there yet."""
        start, masks = self.tokens.start, self.tokens.masks
        made = list(ids)
        if not any(mask in made for mask in masks):
            closed = self.closing and tuple(made[-len(self.closing) :]) == self.closing
            end = len(made) - (len(self.closing) if closed else 0)
            made.insert(made.index(start) if start in made else end, masks[0])
        if start not in made:
            made.append(start)
        return made

    def sample(self, sample: Mapping[str, np.ndarray]) -> Sample:
        """The blank of a sample with `input_ids` and shifted `labels` [T].

        One without labels is all question. See `llm_train.blanks.fields` for what it holds.
        """
        ids, labels = np.asarray(sample["input_ids"]), np.asarray(sample["labels"])
        first, last = last_run(labels)
        asked = np.asarray(self.question(ids[: first + 1].tolist()), dtype=np.int64)
        answer = labels[first : last + 1].copy()
        if answer.size and self.eos is not None and answer[-1] == self.eos:
            answer[-1] = self.tokens.end
        places, context = prefix_positions(
            asked, start_token=self.tokens.start, mask_tokens=self.tokens.masks
        )
        hidden = np.full(len(asked) - min(answer.size, 1), IGNORED)
        made = np.concatenate([asked, answer[:-1]])
        return context_and_answer(places, context, made, np.concatenate([hidden, answer]))


def last_run(labels: np.ndarray) -> tuple[int, int]:
    """First and last place of the last learnt labels; (T - 1, T - 2) where there are none."""
    trained = np.flatnonzero(labels != IGNORED)
    if not len(trained):
        return len(labels) - 1, len(labels) - 2
    last = int(trained[-1])
    before = np.flatnonzero(labels[: last + 1] == IGNORED)
    return (int(before[-1]) + 1 if len(before) else 0), last


def answer_layout(tokens: BlankTokens, encoder: SampleEncoder) -> AnswerLayout:
    """The layout of the samples that `encoder` makes; its tokenizer or template may do a part."""
    plain = encoder.template is None
    closing = surroundings(encoder.tokenizer).after if plain else ()
    eos = encoder.tokenizer.eos_token_id
    replaced = plain and tokens.end is not None and eos != tokens.end
    layout = AnswerLayout(tokens, closing, 0, eos if replaced else None)
    probe = encoder.encode(parse_record(_PROBE))
    ids = probe.input_ids[: last_run(probe.labels)[0] + 1].tolist()
    added = len(layout.question(ids)) - len(ids)
    return AnswerLayout(tokens, closing, added, layout.eos)


class AnsweredSamples:
    """`samples[i]` -> the blank of sample i of a data set. Attribute: `layout`."""

    def __init__(self, samples: Samples, layout: AnswerLayout) -> None:
        self._samples, self.layout = samples, layout

    def __len__(self) -> int:
        return len(self._samples.lengths)

    @property
    def lengths(self) -> np.ndarray:
        """Most tokens of every sample, int32 [S]."""
        return np.asarray(self._samples.lengths + self.layout.added, dtype=np.int32)

    def __getitem__(self, index: int) -> Sample:
        """Sample `index`."""
        return self.layout.sample(self._samples[index])


class PackedAnswers(PackedDataset):
    """Rows of several blanks, which do not see each other."""

    def __getitem__(self, index: int) -> Sample:
        """Row `index`, with `segment_ids` (1, 2, ...)."""
        return joined([self.samples[sample] for sample in self.rows[index]])


def joined(samples: list[Sample]) -> Sample:
    """Samples behind each other in one row, each with its own positions and context."""
    sizes = [sample["input_ids"].size for sample in samples]
    made = {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
    made["segment_ids"] = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int64), sizes)
    return made
