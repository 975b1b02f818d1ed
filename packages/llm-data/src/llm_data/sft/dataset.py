"""A data set of supervised samples: one pass at the start counts, then samples come on demand."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np

from llm_cli.progress import progress
from llm_data.chat_template import ChatTemplate, load_chat_template
from llm_data.errors import DataError, RecordError, SampleError
from llm_data.indexed.layout import IntArray
from llm_data.json_lines import JsonLines
from llm_data.sft.collate import collate
from llm_data.sft.encoding import EncodedSample, SampleEncoder
from llm_data.sft.files import find_split_files
from llm_data.sft.records import parse_record
from llm_data.sft.report import SftReport
from llm_data.tokenizer import Tokenizer

logger = logging.getLogger(__name__)
TOO_LONG = "longer than src_length or max_length"
"""Reason in the report for records that `excess_length` "drop" leaves out."""


class SftDataset:
    """`dataset[i]` -> `input_ids`, `labels`, `position_ids`, each int64 [T]; T < max_length.

    Attributes: `report`, what was cut and dropped; `lengths`, T of every sample, int32 [S];
    `digests`, a hash of every sample, uint64 [S], equal for equal samples.
    """

    def __init__(
        self,
        path: str | Path,
        tokenizer: Tokenizer,
        *,
        split: str = "train",
        src_length: int = 1024,
        max_length: int = 2048,
        chat_template: str | Path | ChatTemplate | None = None,
        excess_length: str = "truncate",
        strict: bool = False,
    ) -> None:
        """path: a JSON Lines file or a folder (see `find_split_files`).

        chat_template: see `load_chat_template`; a loaded template is taken as it is.
        excess_length: what becomes of a record that is too long: "truncate" it (see `encoding`),
        "drop" it, or "raise"; it is counted in any case.
        strict: a record without a sample is an error instead of a count.
        Raises RecordError when no sample is left, SampleError for lengths that do not fit.
        """
        if chat_template is None or isinstance(chat_template, str | Path):
            chat_template = load_chat_template(chat_template, tokenizer)
        self.tokenizer = tokenizer
        self.encoder = SampleEncoder(tokenizer, chat_template, src_length, max_length)
        self.lines = JsonLines(find_split_files(path, split))
        self.report = SftReport()
        self.excess_length = excess_length
        self._scan(strict=strict)
        logger.info("%s %s: %s", path, split, self.report.summary())
        for line in self.report.warnings():
            logger.warning("%s", line)

    def _scan(self, *, strict: bool) -> None:
        kept: list[int] = []
        lengths: list[int] = []
        digests: list[int] = []
        report = self.report
        with progress("encode", total=len(self.lines), unit="records") as bar:
            for index in range(len(self.lines)):
                bar.advance(1)
                report.records += 1
                try:
                    sample = self.encode(index)
                except RecordError as error:
                    reason = str(error)
                    if strict:
                        message = f"{self.lines.place(index)}: {reason}. Mend or remove the line."
                        raise RecordError(message) from error
                    report.drop(reason, self.lines.place(index))
                    continue
                kept.append(index)
                lengths.append(sample.input_ids.size)
                digests.append(_digest(sample))
                _count(report, sample)
        self._kept = np.asarray(kept, dtype=np.int64)
        self.lengths: IntArray = np.asarray(lengths, dtype=np.int32)
        self.digests: IntArray = np.asarray(digests, dtype=np.uint64)
        if not kept:
            files = ", ".join(str(file) for file in self.lines.paths)
            message = f"No sample is left of {files}: {report.summary()}."
            raise RecordError(message)

    def encode(self, index: int) -> EncodedSample:
        """The sample of record `index` (a line). Raises RecordError with the reason if none.

        Raises SampleError naming file and line where the record is too long and that is an error.
        """
        try:
            sample = self.encoder.encode(parse_record(self.lines.object(index)))
        except RecordError:
            raise
        except DataError as error:
            raise RecordError(str(error)) from error
        if sample.cut and self.excess_length != "truncate":
            self._refuse_excess(index)
        return sample

    def _refuse_excess(self, index: int) -> NoReturn:
        if self.excess_length == "drop":
            raise RecordError(TOO_LONG)
        message = (
            f"{self.lines.place(index)}: the record is longer than --src_length "
            f"{self.encoder.src_length} or --max_length {self.encoder.max_length} allow. Raise "
            "them, shorten the record, or choose --excess_length truncate or drop."
        )
        raise SampleError(message)

    def __len__(self) -> int:
        return int(self._kept.size)

    def record(self, index: int) -> int:
        """Record (line) that sample `index` was made of."""
        return int(self._kept[index])

    def __getitem__(self, index: int) -> dict[str, IntArray]:
        """Sample `index`; the labels are shifted already."""
        if not -len(self) <= index < len(self):
            message = f"Sample {index} does not exist: there are {len(self)}."
            raise IndexError(message)
        sample = self.encode(self.record(index))
        positions = np.arange(sample.input_ids.size, dtype=np.int64)
        return {"input_ids": sample.input_ids, "labels": sample.labels, "position_ids": positions}

    def __iter__(self) -> Iterator[dict[str, IntArray]]:
        return (self[index] for index in range(len(self)))

    def collate(
        self, samples: list[dict[str, IntArray]], *, pad_to_multiple_of: int | None = None
    ) -> dict[str, IntArray]:
        """Batch filled with the tokenizer's pad id, else its EOS id (see `sft.collate`)."""
        pad = self.tokenizer.pad_token_id
        if pad is None:
            pad = self.tokenizer.eos_token_id or 0
        return collate(samples, pad_token_id=pad, pad_to_multiple_of=pad_to_multiple_of)


def _digest(sample: EncodedSample) -> int:
    digest = hashlib.blake2b(sample.input_ids.tobytes(), digest_size=8)
    digest.update(sample.labels.tobytes())
    return int.from_bytes(digest.digest(), "little")


def _count(report: SftReport, sample: EncodedSample) -> None:
    report.samples += 1
    report.tokens += sample.input_ids.size
    report.trained_tokens += sample.trained_tokens
    report.source_cut += sample.source_cut
    report.target_cut += sample.target_cut
    report.rounds_dropped += sample.rounds_dropped > 0
    report.cut += sample.cut
    report.endless += not sample.ends
