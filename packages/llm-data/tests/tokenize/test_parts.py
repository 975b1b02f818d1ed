"""The folder of parts: locking, plans, damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_data.errors import IndexedDataError
from llm_data.indexed import IndexedDataset, IndexedWriter
from llm_data.sources import Position
from llm_data.tokenize.assembly import Tokens
from llm_data.tokenize.parts import Part, Parts


def _part(number: int, sizes: list[int]) -> Part:
    return Part(number, len(sizes), sum(sizes), 0, Position(0, 9, 2), 9, len(sizes))


def _tokens(ids: list[int], sizes: list[int], dtype: type[np.generic] = np.uint16) -> Tokens:
    return Tokens(np.asarray(ids, dtype), np.int32(sizes), np.ones(len(sizes), np.int32))


def test_only_one_run_at_a_time(tmp_path: Path) -> None:
    one, two = (Parts(tmp_path / "p", np.dtype(np.uint16)) for _ in range(2))
    with (
        one.opened({"a": 1}, overwrite=False),
        pytest.raises(IndexedDataError, match="Another run"),
        two.opened({"a": 1}, overwrite=True),
    ):
        pass
    with two.opened({"a": 1}, overwrite=False):
        pass


def test_other_plan(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "p", np.dtype(np.uint16))
    with parts.opened({"a": 1, "b": 2}, overwrite=False):
        parts.write(_part(0, [2]), [_tokens([1, 2], [2])])
    with (
        pytest.raises(IndexedDataError, match="differs in: b"),
        parts.opened({"a": 1, "b": 3}, overwrite=False),
    ):
        pass
    with parts.opened({"a": 1, "b": 2}, overwrite=False):
        assert list(parts.all_finished()) == [0]
    with parts.opened({"a": 1, "b": 3}, overwrite=True):
        assert parts.all_finished() == {}


def test_join(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "p", np.dtype(np.int32))
    with parts.opened({}, overwrite=False):
        done = [_part(0, [2, 1]), _part(1, []), _part(2, [3])]
        batches = [_tokens([1, 2], [2], np.int32), _tokens([3], [1], np.int32)]
        parts.write(done[0], batches)
        parts.write(done[1], [])
        parts.write(done[2], [_tokens([4, 5, 6], [3], np.int32)])
        assert parts.finished(0) == done[0]
        assert parts.finished(3) is None
        with IndexedWriter(tmp_path / "o", np.int32) as writer:
            assert sum(parts.join(done, writer)) == 24
    data = IndexedDataset(tmp_path / "o")
    assert [data[i].tolist() for i in range(3)] == [[1, 2], [3], [4, 5, 6]]
    shutil.rmtree(tmp_path / "p")


def test_a_kill_while_it_is_removed_leaves_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(tmp_path / "p", np.dtype(np.uint16))
    with parts.opened({"a": 1}, overwrite=False):
        for number in range(3):
            parts.write(_part(number, [1]), [_tokens([number], [1])])
        removed: list[str] = []
        unlink = Path.unlink

        def killed(path: Path, missing_ok: bool = False) -> None:
            if path.name == "plan.json":
                raise KeyboardInterrupt
            removed.append(path.name)
            unlink(path, missing_ok)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                parts.remove()
        assert len(removed) == 6
        assert parts.are_of({"a": 1})
        parts.remove()
    assert list(tmp_path.iterdir()) == []
