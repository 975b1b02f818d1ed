"""Runs the command: plan, parts, joining, report."""

from __future__ import annotations

import glob
import json
import logging
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_cli.lineage import fingerprint
from llm_cli.outputs import lineage, written_file
from llm_cli.progress import Progress, progress
from llm_data.errors import IndexedDataError, TokenizerError
from llm_data.indexed import IndexedWriter, NpyWriter, dtype_for
from llm_data.indexed.layout import suffixed
from llm_data.sources import (
    Block,
    Position,
    TextFormat,
    expand_inputs,
    format_of,
    no_document,
    read_blocks,
)
from llm_data.sources.blocks import BLOCK_BYTES
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenize.fast import FastRecipe, fast_recipe
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.parts import Part, Parts
from llm_data.tokenize.pool import WorkerPool
from llm_data.tokenize.report import counted, figures, report
from llm_data.tokenize.sample import sample_texts
from llm_data.tokenizer import Tokenizer, load_tokenizer

logger = logging.getLogger(__name__)
_FILES = {"mmap": (".bin", ".idx"), "npy": ("_ids.npy", "_idx.npz")}
"""Data and index of each layout."""


def tokenize(options: TokenizeOptions, *, block_bytes: int = BLOCK_BYTES) -> None:
    """Run the command; `block_bytes` is how much text makes one part."""
    prefix = Path(options.output_prefix).expanduser()
    tokenizer = load_tokenizer(options.tokenizer_name_or_path)
    if options.append_eos and tokenizer.eos_token_id is None:
        message = (
            f"--append_eos needs an EOS token and {tokenizer.path} has none. Name one in its "
            "tokenizer_config.json (eos_token)."
        )
        raise TokenizerError(message)
    data_format = format_of(options.input_path, options.data_format)
    paths = expand_inputs(options.input_path, data_format)
    run = _Run(options, prefix, tokenizer, paths, data_format, block_bytes)
    plan = run.plan()
    # With parts of this very run beside it, the run was killed between joining and tidying up.
    if not run.parts.are_of(plan):
        _check_outputs(prefix, options)
    with run.parts.opened(plan, overwrite=options.overwrite):
        parts = run.tokenized()
        run.join(parts)
        run.parts.remove()
    report(parts, run.dtype, prefix, _FILES[options.data_impl], run.seconds)


def _check_outputs(prefix: Path, options: TokenizeOptions) -> None:
    for layout, (_, end) in _FILES.items():
        index = suffixed(prefix, end)
        if index.exists() and layout != options.data_impl:
            message = (
                f"{index} exists, and two layouts under one prefix would hide each other. Remove "
                "it, or choose another --output_prefix."
            )
            raise IndexedDataError(message)
        if index.exists() and not options.overwrite:
            message = (
                f"{index} exists. Add --overwrite to replace it, or choose another --output_prefix."
            )
            raise IndexedDataError(message)


class _Run:
    """One run of the command."""

    def __init__(
        self,
        options: TokenizeOptions,
        prefix: Path,
        tokenizer: Tokenizer,
        paths: list[Path],
        data_format: str,
        block_bytes: int,
    ) -> None:
        self.options = options
        self.prefix = prefix
        self.tokenizer = tokenizer
        self.paths = paths
        self.block_bytes = block_bytes
        self.dtype = dtype_for(tokenizer.vocab_size)
        self.parts = Parts(suffixed(prefix, ".parts"), self.dtype)
        self.form = TextFormat(
            data_format, options.json_key, options.text_document, options.max_repeated_len
        )
        self.total = sum(path.stat().st_size for path in paths)
        self.seconds = 0.0

    def plan(self) -> dict[str, Any]:
        """All that the result depends on; equal plans may share parts."""
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        return {
            "version of llm-data": version("llm-toolchain-data"),
            "input files": [list(entry) for entry in files],
            "tokenizer": fingerprint(self.tokenizer.path),
            "tokenizer file": str(self.options.tokenizer_name_or_path),
            "format": asdict(self.form),
            "append_eos": self.options.append_eos,
            "sentences": self._sentences(),
            "words": self._words(),
            "strict": self.options.strict,
            "engine": self.options.engine,
            "block size": self.block_bytes,
        }

    def _sentences(self) -> str:
        if not self.options.split_sentences:
            return "off"
        return "lines" if self.options.chinese else "on"

    def _words(self) -> str:
        if self.options.cn_whole_word_segment:
            return "mark"
        return "space" if self.options.cn_space_words else "off"

    def _job(self) -> Job:
        return Job(
            pickle.dumps(self.tokenizer),
            self.parts.folder,
            self.dtype.name,
            self.form,
            self.tokenizer.eos_token_id if self.options.append_eos else None,
            self.options.strict,
            self._sentences(),
            self._words(),
            self._fast(),
        )

    def _fast(self) -> FastRecipe | None:
        sample = sample_texts(self.paths, self.form)
        return fast_recipe(self.tokenizer, self.options.fast_tokenizer, sample)

    def tokenized(self) -> list[Part]:
        """All parts, in order; those that an earlier run left are taken as they are."""
        parts = self.parts.all_finished()
        started = time.monotonic()
        with progress("tokenize", total=self.total, unit="B") as bar:
            if parts:
                logger.info("going on: %d parts were finished by an earlier run", len(parts))
                bar.resume_at(sum(part.consumed for part in parts.values()))
            run = self._on_ray if self.options.engine == "ray" else self._local
            for part in run(dict(parts), bar):
                parts[part.number] = part
                bar.advance(part.consumed)
        self.seconds = time.monotonic() - started
        return [parts[number] for number in sorted(parts)]

    def _local(self, finished: Mapping[int, Part], _: Progress) -> Iterator[Part]:
        with WorkerPool(self._job(), self.options.workers) as pool:
            yield from pool.run(self._open_blocks(finished))

    def _on_ray(self, finished: Mapping[int, Part], bar: Progress) -> Iterator[Part]:
        from llm_data.tokenize.ray_engine import run_on_ray

        bar.note("on Ray")
        yield from run_on_ray(
            self._job(),
            self.paths,
            finished=frozenset(finished),
            workers=self.options.workers,
            block_bytes=self.block_bytes,
        )

    def _open_blocks(self, finished: Mapping[int, Part]) -> Iterator[Block]:
        """Blocks that have no finished part yet."""
        number, start = 0, Position()
        blocks: Iterator[Block] | None = None
        while True:
            while number in finished:
                number, start, blocks = number + 1, finished[number].end, None
            if blocks is None:
                blocks = read_blocks(
                    self.paths,
                    self.form.unit,
                    size=self.block_bytes,
                    number=number,
                    start=start,
                    column=self.form.json_key,
                )
            block = next(blocks, None)
            if block is None:
                return
            yield block
            number, start = number + 1, block.end

    def join(self, parts: list[Part]) -> None:
        """Write data, index and lineage. Raises RecordError if no document is left."""
        if not any(part.documents for part in parts):
            raise no_document(self.options.input_path, self.paths, counted(parts), self.form)
        for end in _FILES[self.options.data_impl]:
            # Left by a run that was killed while it joined.
            for path in self.prefix.parent.glob(f".{glob.escape(self.prefix.name + end)}.*.tmp"):
                path.unlink()
        make: Callable[..., IndexedWriter | NpyWriter] = (
            IndexedWriter if self.options.data_impl == "mmap" else NpyWriter
        )
        total = sum(part.tokens for part in parts) * self.dtype.itemsize
        with (
            progress("join", total=total, unit="B") as bar,
            make(self.prefix, self.dtype) as writer,
        ):
            for copied in self.parts.join(parts, writer):
                bar.advance(copied)
        inputs: dict[str, str | Path | None] = {
            f"input_path.{i}": path for i, path in enumerate(self.paths)
        }
        inputs["tokenizer_name_or_path"] = self.tokenizer.path
        content = lineage("data tokenize", self.options, inputs)
        content["result"] = dict(figures(parts))
        with written_file(suffixed(self.prefix, ".llm.json")) as stream:
            stream.write(json.dumps(content, indent=2).encode() + b"\n")
