"""Runs the command: plan, parts, joining, report."""

from __future__ import annotations

import glob
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_cli.console import console, table
from llm_cli.lineage import fingerprint
from llm_cli.outputs import lineage, written_file
from llm_cli.progress import progress
from llm_data.errors import IndexedDataError, TokenizerError
from llm_data.indexed import IndexedWriter, dtype_for
from llm_data.indexed.layout import suffixed
from llm_data.sources import (
    Block,
    Documents,
    Position,
    TextFormat,
    expand_inputs,
    no_document,
    read_blocks,
)
from llm_data.sources.blocks import BLOCK_BYTES
from llm_data.tokenize.block_tokenizer import Job
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.parts import Part, Parts
from llm_data.tokenize.pool import WorkerPool
from llm_data.tokenizer import Tokenizer, load_tokenizer

logger = logging.getLogger(__name__)


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
    paths = expand_inputs(options.input_path, options.data_format)
    run = _Run(options, prefix, tokenizer, paths, block_bytes)
    plan = run.plan()
    idx = suffixed(prefix, ".idx")
    # With parts of this very run beside it, the run was killed between joining and tidying up.
    if idx.exists() and not options.overwrite and not run.parts.are_of(plan):
        message = f"{idx} exists. Add --overwrite to replace it, or choose another --output_prefix."
        raise IndexedDataError(message)
    with run.parts.opened(plan, overwrite=options.overwrite):
        parts = run.tokenized()
        run.join(parts)
        run.parts.remove()
    run.report(parts)


class _Run:
    """One run of the command."""

    def __init__(
        self,
        options: TokenizeOptions,
        prefix: Path,
        tokenizer: Tokenizer,
        paths: list[Path],
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
            options.data_format,
            options.json_key,
            options.text_document,
            options.max_repeated_len,
        )
        self.total = sum(path.stat().st_size for path in paths)

    def plan(self) -> dict[str, Any]:
        """All that the result depends on; equal plans may share parts."""
        files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        return {
            "version of llm-data": version("llm-toolchain-data"),
            "input files": [list(entry) for entry in files],
            "tokenizer": fingerprint(self.tokenizer.path),
            "format": asdict(self.form),
            "append_eos": self.options.append_eos,
            "strict": self.options.strict,
            "block size": self.block_bytes,
        }

    def tokenized(self) -> list[Part]:
        """All parts, in order; those that an earlier run left are taken as they are."""
        parts = self.parts.all_finished()
        job = Job(
            self.tokenizer.path,
            self.parts.folder,
            self.dtype.name,
            self.form,
            self.options.append_eos,
            self.options.strict,
        )
        with (
            progress("tokenize", total=self.total, unit="B") as bar,
            WorkerPool(job, self.options.workers) as pool,
        ):
            if parts:
                logger.info("going on: %d parts were finished by an earlier run", len(parts))
                bar.resume_at(sum(part.consumed for part in parts.values()))
            for part in pool.run(self._open_blocks(dict(parts))):
                parts[part.number] = part
                bar.advance(part.consumed)
        return [parts[number] for number in sorted(parts)]

    def _open_blocks(self, finished: Mapping[int, Part]) -> Iterator[Block]:
        """Blocks that have no finished part yet."""
        number, start = 0, Position()
        blocks: Iterator[Block] | None = None
        while True:
            while number in finished:
                number, start, blocks = number + 1, finished[number].end, None
            if blocks is None:
                blocks = read_blocks(
                    self.paths, self.form.unit, size=self.block_bytes, number=number, start=start
                )
            block = next(blocks, None)
            if block is None:
                return
            yield block
            number, start = number + 1, block.end

    def join(self, parts: list[Part]) -> None:
        """Write `.bin`, `.idx` and the lineage. Raises RecordError if no document is left."""
        if not any(part.documents for part in parts):
            raise no_document(self.options.input_path, self.paths, _counted(parts), self.form)
        for end in (".bin", ".idx"):
            # Left by a run that was killed while it joined.
            for path in self.prefix.parent.glob(f".{glob.escape(self.prefix.name + end)}.*.tmp"):
                path.unlink()
        total = sum(part.tokens for part in parts) * self.dtype.itemsize
        with (
            progress("join", total=total, unit="B") as bar,
            IndexedWriter(self.prefix, self.dtype) as writer,
        ):
            for copied in self.parts.join(parts, writer):
                bar.advance(copied)
        inputs: dict[str, str | Path | None] = {
            f"input_path.{i}": path for i, path in enumerate(self.paths)
        }
        inputs["tokenizer_name_or_path"] = self.tokenizer.path
        content = lineage("data tokenize", self.options, inputs)
        content["result"] = dict(self._figures(parts))
        with written_file(suffixed(self.prefix, ".llm.json")) as stream:
            stream.write(json.dumps(content, indent=2).encode() + b"\n")

    def _figures(self, parts: list[Part]) -> list[tuple[str, int]]:
        return [
            ("documents", sum(part.documents for part in parts)),
            ("tokens", sum(part.tokens for part in parts)),
            ("bytes of text", sum(part.text_bytes for part in parts)),
            ("documents shortened", sum(part.shortened for part in parts)),
        ]

    def report(self, parts: list[Part]) -> None:
        """Print what came out and what was left out."""
        counts = _counted(parts)
        rows: list[tuple[str, int, str]] = [(*entry, "") for entry in self._figures(parts)]
        for reason, count in sorted(counts.dropped.items()):
            rows.append((f"dropped: {reason}", count, ", ".join(counts.places[reason])))
        table("Tokenized", ("what", "count", "where"), rows)
        names = f"{self.prefix}.bin and {self.prefix.name}.idx"
        console.print(f"Wrote {names} ({self.dtype.name})", markup=False)


def _counted(parts: list[Part]) -> Documents:
    counts = Documents()
    for part in parts:
        counts.add(part.dropped, part.places)
    return counts
