"""Ray gives the very bytes that the local engine gives; needs Ray."""

from __future__ import annotations

import argparse
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_data.errors import DataError, RecordError
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.ray_engine import _groups
from llm_data.tokenize.run import tokenize
from llm_data.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A local Ray cluster of two processors."""
    ray = pytest.importorskip("ray", reason="needs Ray (extra ray)")
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files: two of many documents and a small one."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, module in (("a", argparse), ("b", typing)):
        lines = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as stream:
            for start in range(0, len(lines), 9):
                stream.write(json.dumps({"text": "\n".join(lines[start : start + 9])}) + "\n")
    (folder / "c.jsonl").write_text('{"text": "end"}\n{broken\n', encoding="utf-8")
    return folder


def _options(corpus: Path, bpe: Tokenizer, prefix: Path, **changes: Any) -> TokenizeOptions:
    return TokenizeOptions(
        input_path=[str(corpus)],
        tokenizer_name_or_path=str(bpe.path),
        output_prefix=str(prefix),
        append_eos=True,
        workers=2,
        **changes,
    )


@pytest.mark.usefixtures("cluster")
def test_output_is_identical(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    tokenize(_options(corpus, bpe, tmp_path / "local"))
    tokenize(_options(corpus, bpe, tmp_path / "ray", engine="ray"), block_bytes=8000)
    for suffix in (".bin", ".idx"):
        local, other = (tmp_path / f"{name}{suffix}" for name in ("local", "ray"))
        assert local.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("cluster")
def test_finished_parts_are_not_made_again(
    corpus: Path, bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    options = _options(corpus, bpe, tmp_path / "a", engine="ray")
    with monkeypatch.context() as patch:
        patch.setattr("llm_data.tokenize.run.IndexedWriter", stop)
        with pytest.raises(KeyboardInterrupt):
            tokenize(options, block_bytes=8000)
    parts = sorted((tmp_path / "a.parts").glob("*.bin"))
    assert len(parts) > 5
    parts[1].unlink()
    before = {path: path.stat().st_mtime_ns for path in parts if path != parts[1]}
    with monkeypatch.context() as patch:
        patch.setattr("llm_data.tokenize.parts.Parts.remove", lambda _: None)
        tokenize(options, block_bytes=8000)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert parts[1].exists()


@pytest.mark.usefixtures("cluster")
def test_errors_of_readers_and_workers_are_ours(
    corpus: Path, bpe: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(RecordError, match=r"c\.jsonl:2: invalid JSON"):
        tokenize(_options(corpus, bpe, tmp_path / "a", engine="ray", strict=True))


def test_small_files_go_together(tmp_path: Path) -> None:
    sizes = [10, 10, 100, 10, 60, 60]
    paths = [tmp_path / str(number) for number in range(len(sizes))]
    for path, size in zip(paths, sizes, strict=True):
        path.write_bytes(b"x" * size)
    groups = [[int(path.name) for path in group] for group in _groups(paths, 50)]
    assert groups == [[0, 1], [2], [3], [4], [5]]


def test_missing_ray_names_the_extra(
    corpus: Path, bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(DataError, match=r"pip install 'ray\[data\]'"):
        tokenize(_options(corpus, bpe, tmp_path / "a", engine="ray"))
