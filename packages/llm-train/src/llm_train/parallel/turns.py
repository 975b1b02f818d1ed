"""Which process writes what of a checkpoint, and who must be there when it is gathered.

Whole tensors are written, each by one process into a file of its own, so that writing is shared and
a folder is independent of the layout. Processes that hold shares of the same tensors, a `circle`,
gather each of them together; they write one after the other, circles at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_train.parallel.collectives import broadcast, gathered_objects
from llm_train.parallel.groups import Parallel


class Turns:
    """The order of writing for one process."""

    def __init__(self, parallel: Parallel) -> None:
        self._layout = layout = parallel.layout
        sliced = layout.stage == 3
        self.group = parallel.sharding if sliced else parallel.tensor
        self._size = layout.sharding if sliced else layout.tensor
        self._place = layout.sharding_rank if sliced else layout.tensor_rank
        self._sliced = sliced

    def in_circle(self, layer: int | None, owner: int | None = None) -> bool:
        """Whether this process's circle writes what belongs to a layer (None: to none).

        `owner`: the rank of the sharding group that alone holds it; None: all do.
        """
        layout, number = self._layout, layer or 0
        if layout.data_rank != number % layout.data:
            return False
        if self._sliced:
            return True
        return layout.sharding_rank == (number % layout.sharding if owner is None else owner)

    def write(
        self,
        path: Callable[[int], Path],
        infos: Mapping[str, TensorInfo],
        layers: Mapping[str, int | None],
        read: Callable[[str], np.ndarray],
        metadata: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Write the tensors `infos` of this circle, `read` one by one by all of its members.

        `path(rank)` is the file of a process. The writer of a file chooses the order, and says
        before each tensor which one it is. Returns tensor -> file name, of the whole run.
        """
        own: dict[str, str] = {}
        for writer in range(self._size):
            mine = {n: i for n, i in infos.items() if (layers[n] or 0) % self._size == writer}
            names = list(mine)
            if writer != self._place:
                for _ in names:
                    read(names[self._said(0, writer)])
            elif names:
                file = path(self._layout.rank)

                numbers = {name: number for number, name in enumerate(names)}

                def said_and_read(name: str, numbers: Any = numbers, me: int = writer) -> Any:
                    self._said(numbers[name], me)
                    return read(name)

                write_safetensors(file, mine, said_and_read, metadata=dict(metadata or {}))
                own = dict.fromkeys(names, file.name)
        return _joined(gathered_objects(own))

    def _said(self, number: int, writer: int) -> int:
        """The number that the circle's member `writer` gives; the others' is not looked at."""
        return int(broadcast(paddle.to_tensor([number]), writer, self.group).item())


def _joined(parts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return dict(_pairs(parts))


def _pairs(parts: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for part in parts:
        yield from part.items()


def shard_name(stem: str, rank: int, processes: int) -> str:
    """The file of a process: `stem-00001-of-00004.safetensors`."""
    return f"{stem}-{rank + 1:05d}-of-{processes:05d}.safetensors"


def index_of(weight_map: Mapping[str, str], total_size: int) -> dict[str, Any]:
    """The content of the index beside such files."""
    return {"metadata": {"total_size": total_size}, "weight_map": dict(sorted(weight_map.items()))}
