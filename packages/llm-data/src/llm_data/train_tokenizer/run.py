"""Trains the vocabulary and writes the tokenizer's folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from llm_cli.console import console
from llm_cli.outputs import lineage, written_file, written_folder
from llm_cli.progress import progress
from llm_data.count_table import count_table
from llm_data.sources import (
    Documents,
    Position,
    TextFormat,
    expand_inputs,
    format_of,
    no_document,
    read_blocks,
    read_documents,
)
from llm_data.train_tokenizer.options import TrainTokenizerOptions

logger = logging.getLogger(__name__)


class _Texts:
    """Streams the texts of all inputs; counts what it saw."""

    def __init__(self, options: TrainTokenizerOptions) -> None:
        self.options = options
        data_format = format_of(options.input_path, options.data_format)
        self.form = TextFormat(
            data_format, options.json_key, options.text_document, max_repeated_len=0
        )
        self.paths = expand_inputs(options.input_path, data_format)
        self.counts = Documents()
        self.documents = 0
        self.bytes = 0

    def __iter__(self) -> Iterator[list[str]]:
        total = sum(path.stat().st_size for path in self.paths)
        with progress("read", total=total, unit="B") as bar:
            for block in read_blocks(
                self.paths, self.form.unit, start=Position(), column=self.form.json_key
            ):
                texts: list[str] = []
                for piece in block.pieces:
                    found = read_documents(
                        piece, self.form, self.counts, strict=self.options.strict
                    )
                    texts += [text for text, _ in found]
                self.documents += len(texts)
                self.bytes += block.size
                yield texts
                bar.advance(block.consumed)


def train_tokenizer(options: TrainTokenizerOptions) -> None:
    """Run the command."""
    texts = _Texts(options)
    inputs = {f"input_path.{i}": path for i, path in enumerate(texts.paths)}
    content = lineage("data train-tokenizer", options, inputs)
    with written_folder(options.output_path, content, overwrite=options.overwrite) as folder:
        tokenizer = _trained(options, texts)
        _write(tokenizer, options, folder)
    _report(options, texts, tokenizer.get_vocab_size())


def _trained(options: TrainTokenizerOptions, texts: _Texts) -> Any:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=options.special_tokens(),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if texts.documents == 0:
        raise no_document(options.input_path, texts.paths, texts.counts, texts.form)
    if options.bos_token is not None:
        bos = (options.bos_token, tokenizer.token_to_id(options.bos_token))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{options.bos_token} $A",
            pair=f"{options.bos_token} $A {options.bos_token} $B:1",
            special_tokens=[bos],
        )
    return tokenizer


def _write(tokenizer: Any, options: TrainTokenizerOptions, folder: Path) -> None:
    roles = {
        "bos_token": options.bos_token,
        "eos_token": options.eos_token,
        "pad_token": options.pad_token or options.eos_token,
        "additional_special_tokens": options.additional_special_tokens or None,
    }
    special = {role: value for role, value in roles.items() if value}
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    # Its own `save` raises a plain Exception where the disk is full.
    texts = {"tokenizer.json": tokenizer.to_str(pretty=True)}
    for name, content in (
        ("tokenizer_config.json", config),
        ("special_tokens_map.json", special),
    ):
        texts[name] = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    for name, text in texts.items():
        with written_file(folder / name) as stream:
            stream.write(text.encode("utf-8"))


def _report(options: TrainTokenizerOptions, texts: _Texts, size: int) -> None:
    if size < options.vocab_size:
        logger.warning(
            "the vocabulary has %d entries, not %d: no pair occurs %d times any more",
            size,
            options.vocab_size,
            options.min_frequency,
        )
    rows: list[tuple[str, int, str]] = [
        ("documents", texts.documents, ""),
        ("bytes", texts.bytes, ""),
        ("vocabulary", size, ""),
    ]
    for reason, count in sorted(texts.counts.dropped.items()):
        rows.append((f"dropped: {reason}", count, ", ".join(texts.counts.places[reason])))
    count_table("Tokenizer", rows)
    console.print(f"Wrote {options.output_path}", markup=False)
