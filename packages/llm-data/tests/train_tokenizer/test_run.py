"""Training a vocabulary: files, determinism, special tokens, bad input."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
from pathlib import Path

import pytest
import tokenizers

from llm_cli.errors import UserError
from llm_cli.main import run
from llm_cli.outputs import is_complete
from llm_data.errors import RecordError
from llm_data.tokenizer import load_tokenizer
from llm_data.train_tokenizer.options import TrainTokenizerOptions
from llm_data.train_tokenizer.run import train_tokenizer

SOURCE = Path(argparse.__file__)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A module of the standard library, a document for every 40 lines."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "corpus.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for start in range(0, len(lines), 40):
            stream.write(json.dumps({"text": "\n".join(lines[start : start + 40])}) + "\n")
    return path


def _train(corpus: Path, output: Path, **changes: object) -> Path:
    options: dict[str, object] = {
        "input_path": [str(corpus)],
        "output_path": str(output),
        "vocab_size": 500,
        **changes,
    }
    train_tokenizer(TrainTokenizerOptions(**options))  # type: ignore[arg-type]
    return output


def test_output(corpus: Path, tmp_path: Path) -> None:
    folder = _train(corpus, tmp_path / "t")
    assert is_complete(folder)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.vocab_size == 500
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert config["eos_token"] == "<|endoftext|>"
    text = corpus.read_text(encoding="utf-8")
    assert len(tokenizer.encode(text)) < len(text) / 2
    lineage = json.loads((folder / "llm.json").read_text(encoding="utf-8"))
    assert lineage["command"] == "data train-tokenizer"


def test_same_input_same_files(corpus: Path, tmp_path: Path) -> None:
    one, two = (_train(corpus, tmp_path / name) for name in ("one", "two"))
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_llama_style_special_tokens(corpus: Path, tmp_path: Path) -> None:
    folder = _train(
        corpus,
        tmp_path / "t",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer = load_tokenizer(folder)
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert ids == (0, 1, 2)
    assert tokenizer.special_tokens["<|im_start|>"] == 3
    assert tokenizer.encode("x", add_special_tokens=True) == [0, *tokenizer.encode("x")]


def test_vocabulary_smaller_than_asked_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.txt").write_text("abab abab", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        _train(tmp_path / "a.txt", tmp_path / "t", data_format="TEXT", vocab_size=4000)
    assert "entries, not 4000" in caplog.text


def test_dropped_lines_are_named(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with corpus.open("a", encoding="utf-8") as stream:
        stream.write("{broken\n")
    _train(corpus, tmp_path / "t")
    out = capsys.readouterr().out
    assert "invalid JSON" in out
    with pytest.raises(RecordError, match="invalid JSON"):
        _train(corpus, tmp_path / "u", strict=True)
    assert not (tmp_path / "u").exists()


def test_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(RecordError, match=r"No document in .*missing key 'text' \(1 line"):
        _train(tmp_path / "a.jsonl", tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_existing_output_is_kept(corpus: Path, tmp_path: Path) -> None:
    folder = _train(corpus, tmp_path / "t")
    with pytest.raises(UserError, match="not empty"):
        _train(corpus, folder)
    _train(corpus, folder, vocab_size=300, overwrite=True)
    assert load_tokenizer(folder).vocab_size == 300


def test_a_full_disk_is_told_as_such(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(stream: io.FileIO, _: object) -> int:
        assert ".tokenizer.json." in str(stream.name)
        raise OSError(errno.ENOSPC, "No space left on device", str(stream.name))

    monkeypatch.setattr("llm_cli.folder_files._NamedFile.write", full)
    words = ["--input_path", str(corpus), "--output_path", str(tmp_path / "t")]
    assert run(["data", "train-tokenizer", *words, "--vocab_size", "500"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"The disk is full while writing {tmp_path}/t/tokenizer.json; " in told
    assert not (tmp_path / "t").exists()


def test_the_file_is_what_the_library_saves(corpus: Path, tmp_path: Path) -> None:
    file = _train(corpus, tmp_path / "t") / "tokenizer.json"
    tokenizers.Tokenizer.from_file(str(file)).save(str(tmp_path / "saved.json"))
    assert file.read_bytes() == (tmp_path / "saved.json").read_bytes()
