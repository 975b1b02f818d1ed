"""Runs the command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from llm_cli.console import console
from llm_data.errors import SampleError
from llm_data.indexed import IndexedDataset
from llm_data.indexed.layout import IntArray, suffixed, without_suffix
from llm_data.inspect.options import InspectOptions
from llm_data.inspect.view import list_tokens, show_sample
from llm_data.packing import PackedDataset
from llm_data.sft import IGNORED, SftDataset
from llm_data.tokenizer import Tokenizer, load_tokenizer


def inspect(options: InspectOptions) -> None:
    """Run the command."""
    tokenizer = load_tokenizer(options.tokenizer_name_or_path)
    prefix = Path(without_suffix(str(Path(options.input_path).expanduser())))
    if any(suffixed(prefix, end).is_file() for end in (".idx", "_idx.npz")):
        _documents(IndexedDataset(prefix), tokenizer, options)
    else:
        _samples(tokenizer, options)


def _documents(data: IndexedDataset, tokenizer: Tokenizer, options: InspectOptions) -> None:
    console.print(
        f"{data.prefix}: {len(data):,} documents, {data.tokens.size:,} tokens, {data.dtype.name}",
        markup=False,
    )
    for index in _chosen(len(data), options, "document"):
        ids = np.asarray(data[index], dtype=np.int64)
        highest = int(ids.max(initial=0))
        if highest >= tokenizer.vocab_size:
            message = (
                f"Document {index} of {data.prefix} holds id {highest} and {tokenizer.path} has "
                f"{tokenizer.vocab_size} ids: the data were made with another tokenizer."
            )
            raise SampleError(message)
        # Every token is learnt, that after the last one from the document that follows.
        labels = np.full_like(ids, IGNORED)
        labels[:-1] = ids[1:]
        sample = {"input_ids": ids, "labels": labels}
        _show(f"document {index}", sample, tokenizer, options, learnt="all")


def _samples(tokenizer: Tokenizer, options: InspectOptions) -> None:
    data = SftDataset(
        options.input_path,
        tokenizer,
        split=options.split,
        src_length=options.src_length,
        max_length=options.max_length,
        chat_template=options.chat_template,
        excess_length=options.excess_length,
    )
    if options.zero_padding:
        packed = PackedDataset(data, options.max_length)
        for index in _chosen(len(packed), options, "row"):
            name = f"row {index}: samples {packed.rows[index]}"
            _show(name, packed[index], tokenizer, options)
        return
    for index in _chosen(len(data), options, "sample"):
        name = f"sample {index} ({data.lines.place(data.record(index))})"
        _show(name, data[index], tokenizer, options)


def _chosen(count: int, options: InspectOptions, what: str) -> range:
    if options.start >= count:
        message = f"--start {options.start} is beyond the last {what}: there are {count}."
        raise SampleError(message)
    return range(options.start, min(options.start + options.num_samples, count))


def _show(
    name: str,
    sample: Mapping[str, IntArray],
    tokenizer: Tokenizer,
    options: InspectOptions,
    learnt: str | None = None,
) -> None:
    if options.tokens:
        list_tokens(name, sample, tokenizer, options.max_tokens)
    else:
        show_sample(name, sample, tokenizer, options.max_tokens, learnt)
