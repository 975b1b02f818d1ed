"""The same work on a Ray cluster, with Ray Data: files are cut into blocks, blocks become parts.

The nodes read the input files themselves. The parts come back to this machine, which writes them
as the local engine does, so a killed run goes on too. Parts are numbered by group of files.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_data.errors import DataError
from llm_data.sources import Position, TextFormat, read_blocks
from llm_data.tokenize.block_tokenizer import BlockTokenizer, Job
from llm_data.tokenize.parts import Part, Parts

GROUP = 1_000_000
"""Part numbers of each group of files."""


def run_on_ray(
    job: Job,
    paths: Sequence[Path],
    *,
    finished: frozenset[int],
    workers: int,
    block_bytes: int,
) -> Iterator[Part]:
    """Parts as they are done, each on disk already.

    finished: numbers of parts that are there. workers: processes of the cluster that tokenize.
    Raises DataError when Ray is not installed, and what a worker raises of ours.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, logging_level="error")
    try:
        yield from _parts(ray, job, paths, finished, workers, block_bytes)
    finally:
        if started:
            ray.shutdown()


def _parts(
    ray: Any,
    job: Job,
    paths: Sequence[Path],
    finished: frozenset[int],
    workers: int,
    block_bytes: int,
) -> Iterator[Part]:
    import numpy as np

    ray.data.DataContext.get_current().enable_progress_bars = False
    groups = [
        {"first": number * GROUP, "paths": [str(path.resolve()) for path in group]}
        for number, group in enumerate(_groups(paths, block_bytes))
    ]
    names = {str(path.resolve()): str(path) for path in paths}
    read = _Reader(job.form, block_bytes, finished, names)
    rows = (
        ray.data.from_items(groups, override_num_blocks=len(groups))
        .flat_map(read)
        .map(_Worker, fn_constructor_args=(job,), concurrency=workers)
    )
    target = Parts(job.parts_folder, np.dtype(job.dtype))
    for row in rows.iter_rows():
        answer = pickle.loads(row["answer"])
        if isinstance(answer, Exception):
            raise answer
        part, tokens = answer
        target.write(part, tokens)
        yield part


def _groups(paths: Sequence[Path], size: int) -> list[list[Path]]:
    """Files in a row that together make about a block; a larger file stands alone."""
    groups: list[list[Path]] = []
    room = 0
    for path in paths:
        length = path.stat().st_size
        if room <= 0 or length > room:
            groups.append([])
            room = size
        groups[-1].append(path)
        room -= length
    return groups


class _Reader:
    """Cuts a group of files into blocks, in a task of Ray's."""

    def __init__(
        self, form: TextFormat, size: int, finished: frozenset[int], names: dict[str, str]
    ) -> None:
        self.form = form
        self.size = size
        self.finished = finished
        self.names = names
        """The user's name of each file, for messages."""

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, bytes]]:
        try:
            yield from self._blocks(row)
        # Handed on in its place: Ray would wrap it in an error of its own.
        except DataError as error:
            yield {"block": pickle.dumps(error)}

    def _blocks(self, row: dict[str, Any]) -> Iterator[dict[str, bytes]]:
        blocks = read_blocks(
            [Path(path) for path in row["paths"]],
            self.form.unit,
            size=self.size,
            number=int(row["first"]),
            start=Position(),
            column=self.form.json_key,
        )
        for block in blocks:
            if block.number in self.finished:
                continue
            block.pieces = [replace(piece, path=self.names[piece.path]) for piece in block.pieces]
            yield {"block": pickle.dumps(block)}


class _Worker:
    """Tokenizes blocks, in an actor of Ray's that holds the tokenizer."""

    def __init__(self, job: Job) -> None:
        self._tokenizer = BlockTokenizer(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        block = pickle.loads(row["block"])
        if isinstance(block, Exception):
            return {"answer": row["block"]}
        try:
            answer: object = self._tokenizer.tokenized(block)
        except DataError as error:
            answer = error
        return {"answer": pickle.dumps(answer)}


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        message = (
            "--engine ray needs Ray, which is not installed here. "
            "Install it on every node with: pip install 'ray[data]'"
        )
        raise DataError(message) from error
    return ray
