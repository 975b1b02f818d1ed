"""The whole command: content, workers, kills, errors."""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import IndexedDataError, RecordError, TokenizerError
from llm_data.indexed import IndexedDataset
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.run import tokenize
from llm_data.tokenizer import Tokenizer

BLOCK = 4000
_SCRIPT = """
import sys
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.run import tokenize
source, tokenizer, prefix, block = sys.argv[1:]
tokenize(TokenizeOptions(input_path=[source], tokenizer_name_or_path=tokenizer,
                         output_prefix=prefix, append_eos=True, workers=2), block_bytes=int(block))
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 kB of JSON Lines, with a few bad lines."""
    lines = Path(argparse.__file__).read_text(encoding="utf-8").splitlines()
    path = tmp_path_factory.mktemp("corpus") / "a.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for start in range(0, len(lines), 9):
            stream.write(json.dumps({"text": "\n".join(lines[start : start + 9])}) + "\n")
            if start % 900 == 0:
                stream.write("{broken\n")
    return path


def _texts(corpus: Path) -> list[str]:
    lines = corpus.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines if line.endswith("}")]


def _options(corpus: Path, bpe: Tokenizer, prefix: Path, **changes: Any) -> TokenizeOptions:
    fields: dict[str, Any] = {
        "input_path": [str(corpus)],
        "tokenizer_name_or_path": str(bpe.path),
        "output_prefix": str(prefix),
        "append_eos": True,
        **changes,
    }
    return TokenizeOptions(**fields)


def test_documents_are_the_texts_in_order(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    tokenize(_options(corpus, bpe, tmp_path / "a", workers=2), block_bytes=BLOCK)
    data = IndexedDataset(tmp_path / "a")
    texts = [text for text in _texts(corpus) if text.strip()]
    assert [data[i].tolist() for i in range(len(data))] == [[*bpe.encode(t), 0] for t in texts]
    assert data.dtype == "uint16"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "a.idx", "a.llm.json"]
    lineage = json.loads((tmp_path / "a.llm.json").read_text(encoding="utf-8"))
    assert lineage["result"]["documents"] == len(texts)


def test_workers_and_blocks_do_not_change_the_bytes(
    corpus: Path, bpe: Tokenizer, tmp_path: Path
) -> None:
    tokenize(_options(corpus, bpe, tmp_path / "one", workers=1))
    tokenize(_options(corpus, bpe, tmp_path / "three", workers=3), block_bytes=BLOCK)
    for suffix in (".bin", ".idx"):
        one, three = (tmp_path / f"{name}{suffix}" for name in ("one", "three"))
        assert one.read_bytes() == three.read_bytes()


def test_killed_at_random_moments_and_started_again(
    corpus: Path, bpe: Tokenizer, tmp_path: Path
) -> None:
    tokenize(_options(corpus, bpe, tmp_path / "whole"))
    rng = random.Random(11)
    kills = 0
    until_work = 0.0
    for attempt in range(40):
        command = [sys.executable, "-c", _SCRIPT, str(corpus), str(bpe.path)]
        process = subprocess.Popen(
            [*command, str(tmp_path / "killed"), str(BLOCK)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if attempt >= 8:
            assert process.wait(timeout=60) == 0
            break
        if attempt == 0:  # at the moment at which there is something to lose
            start = time.monotonic()
            while process.poll() is None and not list(tmp_path.glob("*killed*")):
                time.sleep(0.001)
            until_work = time.monotonic() - start
        try:
            patience = until_work + rng.uniform(0.0, 0.2) if attempt else 0.0
            assert process.wait(timeout=patience) == 0
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        finished = (tmp_path / "killed.idx").exists() and not list(tmp_path.glob("*parts*"))
        if finished:  # only its table was still to come
            break
    assert kills > 0
    for suffix in (".bin", ".idx"):
        whole, killed = (tmp_path / f"{name}{suffix}" for name in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
    names = [path.name for path in tmp_path.iterdir() if "killed" in path.name]
    assert sorted(names) == ["killed.bin", "killed.idx", "killed.llm.json"]


def test_finished_parts_are_not_made_again(
    corpus: Path, bpe: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llm_data.tokenize.run.IndexedWriter", stop)
        with pytest.raises(KeyboardInterrupt):
            tokenize(_options(corpus, bpe, tmp_path / "a"), block_bytes=BLOCK)
    parts = sorted((tmp_path / "a.parts").glob("*.bin"))
    assert len(parts) > 10
    removed = parts[4]
    removed.unlink()
    parts[7].write_bytes(parts[7].read_bytes()[:-1])
    before = {path: path.stat().st_mtime_ns for path in parts if path != removed}
    tokenize(_options(corpus, bpe, tmp_path / "whole"))
    monkeypatch.setattr("llm_data.tokenize.parts.Parts.remove", lambda _: None)
    tokenize(_options(corpus, bpe, tmp_path / "a"), block_bytes=BLOCK)
    after = {path: path.stat().st_mtime_ns for path in parts}
    changed = [path for path in parts if before.get(path) != after[path]]
    assert changed == [removed, parts[7]]
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "whole.bin").read_bytes()
    # Killed after joining, before tidying up: the same command just finishes.
    (tmp_path / "a.llm.json").unlink()
    monkeypatch.undo()
    tokenize(_options(corpus, bpe, tmp_path / "a"), block_bytes=BLOCK)
    assert (tmp_path / "a.llm.json").exists()
    assert not (tmp_path / "a.parts").exists()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[TokenizeOptions], None]:
    """Runs the command up to joining."""

    def run(options: TokenizeOptions) -> None:
        def stop(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("llm_data.tokenize.run.IndexedWriter", stop)
            with pytest.raises(OSError, match="No space"):
                tokenize(options, block_bytes=BLOCK)

    return run


def test_a_full_disk_keeps_what_is_done_and_says_where(
    corpus: Path,
    bpe: Tokenizer,
    tmp_path: Path,
    interrupted: Callable[[TokenizeOptions], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    interrupted(_options(corpus, bpe, tmp_path / "a"))
    count = len(list((tmp_path / "a.parts").glob("0*.json")))
    assert count > 10
    assert f"(parts: {count}) is kept in {tmp_path / 'a.parts'}: run the same" in caplog.text


def test_a_line_that_must_be_mended_leaves_nothing(
    corpus: Path, bpe: Tokenizer, tmp_path: Path
) -> None:
    broken = _options(corpus, bpe, tmp_path / "a", strict=True)
    with pytest.raises(RecordError, match=r"a\.jsonl:2: invalid JSON"):
        tokenize(broken, block_bytes=BLOCK)
    assert list(tmp_path.iterdir()) == []


def test_unfinished_work_of_another_run(
    corpus: Path,
    bpe: Tokenizer,
    tmp_path: Path,
    interrupted: Callable[[TokenizeOptions], None],
) -> None:
    interrupted(_options(corpus, bpe, tmp_path / "a", strict=False, max_repeated_len=5))
    with pytest.raises(IndexedDataError, match="differs in: append_eos, format"):
        tokenize(_options(corpus, bpe, tmp_path / "a", append_eos=False), block_bytes=BLOCK)
    tokenize(_options(corpus, bpe, tmp_path / "a", overwrite=True), block_bytes=BLOCK)
    with pytest.raises(IndexedDataError, match=r"a\.idx exists"):
        tokenize(_options(corpus, bpe, tmp_path / "a"))


def test_dropped_lines_are_named(
    corpus: Path, bpe: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenize(_options(corpus, bpe, tmp_path / "a", workers=2), block_bytes=BLOCK)
    out = "".join(capsys.readouterr().out.replace("│", "").split())
    assert "dropped:invalidJSON" in out
    assert "a.jsonl:2" in out


def test_plain_text(bpe: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    tokenize(_options(tmp_path / "a.txt", bpe, tmp_path / "o", text_document="line"))
    data = IndexedDataset(tmp_path / "o")
    assert [bpe.decode(data[i].tolist()) for i in range(len(data))] == ["one", "two"]


def test_formats_give_the_same_documents(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    import pyarrow
    import zstandard
    from pyarrow import parquet

    tokenize(_options(corpus, bpe, tmp_path / "jsonl"))
    texts = _texts(corpus)
    half = len(texts) // 2
    source = tmp_path / "source"
    source.mkdir()
    for name, part in (("a.parquet", texts[:half]), ("b.parquet", [*texts[half:], None])):
        table = pyarrow.table({"body": part, "n": list(range(len(part)))})
        parquet.write_table(table, source / name, row_group_size=20)
    tables = _options(source, bpe, tmp_path / "parquet", json_key="body", workers=2)
    tokenize(tables, block_bytes=BLOCK)
    packed = tmp_path / "a.jsonl.zst"
    packed.write_bytes(zstandard.ZstdCompressor().compress(corpus.read_bytes()))
    tokenize(_options(packed, bpe, tmp_path / "zst"), block_bytes=BLOCK)
    for suffix in (".bin", ".idx"):
        whole = (tmp_path / f"jsonl{suffix}").read_bytes()
        assert (tmp_path / f"parquet{suffix}").read_bytes() == whole
        assert (tmp_path / f"zst{suffix}").read_bytes() == whole
    lineage = json.loads((tmp_path / "parquet.llm.json").read_text(encoding="utf-8"))
    assert lineage["result"]["documents"] == len([text for text in texts if text.strip()])


@pytest.mark.parametrize("split", [False, True])
def test_the_older_layout_holds_the_same(
    corpus: Path, bpe: Tokenizer, tmp_path: Path, split: bool
) -> None:
    for layout in ("mmap", "npy"):
        options = _options(
            corpus, bpe, tmp_path / layout, data_impl=layout, split_sentences=split, workers=2
        )
        tokenize(options, block_bytes=BLOCK)
    new, old = IndexedDataset(tmp_path / "mmap"), IndexedDataset(tmp_path / "npy")
    assert [new[i].tolist() for i in range(len(new))] == [old[i].tolist() for i in range(len(old))]
    with np.load(tmp_path / "npy_idx.npz") as arrays:
        assert (arrays["lens"].dtype, arrays["docs"].dtype) == (np.int32, np.int64)
        assert arrays["docs"].size == len(new) + 1
        assert (arrays["lens"].size > len(new)) == split
    with pytest.raises(IndexedDataError, match="two layouts under one prefix"):
        tokenize(_options(corpus, bpe, tmp_path / "npy", overwrite=True))


def test_no_document(bpe: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "x"}\n', encoding="utf-8")
    said = (
        rf"missing key 'text' \(1 line, first {tmp_path}/a\.jsonl:1\)\. The first line has 'body': "
        r"name the field that holds the text with --json_key \(it is 'text' now\)"
    )
    with pytest.raises(RecordError, match=said):
        tokenize(_options(tmp_path / "a.jsonl", bpe, tmp_path / "o"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(RecordError, match="the input is empty"):
        tokenize(_options(tmp_path / "a.jsonl", bpe, tmp_path / "o"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_eos_that_is_not_there(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((bpe.path / "tokenizer.json").read_bytes())
    options = _options(corpus, bpe, tmp_path / "o", tokenizer_name_or_path=str(tmp_path))
    with pytest.raises(TokenizerError, match="--append_eos needs an EOS token"):
        tokenize(options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    """The parts' folder is on a full file system: every write to it is refused."""
    parts = tmp_path / "a.parts"
    parts.mkdir()
    limited = [sys.executable, "-c", _FULL_DISK, str(corpus), str(bpe.path), str(tmp_path / "a")]
    result = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert f"errno {errno.EFBIG}" in result.stdout
    left = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert left == []
    assert not parts.exists(), "nothing was finished, so there is nothing to go on from"


_FULL_DISK = """
import resource, signal, sys
from llm_data.tokenize.options import TokenizeOptions
from llm_data.tokenize.run import tokenize
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
source, tokenizer, prefix = sys.argv[1:]
try:
    tokenize(TokenizeOptions(input_path=[source], tokenizer_name_or_path=tokenizer,
                             output_prefix=prefix))
except OSError as error:
    print("errno", error.errno)
"""


def test_workers_end_with_a_killed_parent(corpus: Path, bpe: Tokenizer, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(corpus), str(bpe.path)]
    process = subprocess.Popen(
        [*command, str(tmp_path / "a"), "500"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    children: list[str] = []
    deadline = time.monotonic() + 20
    while not children and time.monotonic() < deadline and process.poll() is None:
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        children = listed.read_text().split() if listed.exists() else []
    if not children:
        process.wait()
        pytest.skip("the system does not list child processes")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline and any(_alive(child) for child in children):
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


def _alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
