"""Texts to ids and back, line by line; what is no text or no list is named."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from llm_data.codec.options import DecodeOptions, EncodeOptions
from llm_data.codec.run import decode, encode
from llm_data.errors import RecordError
from llm_data.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["def f():\n", "", "na\u00efve \u4f60\u597d <|im_end|>", " a\u2028b "]


def _file(path: Path, values: list[object]) -> str:
    path.write_text("".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
    return str(path)


def _read(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_there_and_back(bpe: Tokenizer, bpe_folder: Path, tmp_path: Path) -> None:
    source = _file(tmp_path / "in", list(TEXTS))
    ids, back = tmp_path / "ids", tmp_path / "back"
    folder = str(bpe_folder)
    encode(EncodeOptions(tokenizer_name_or_path=folder, input_path=source, output_path=str(ids)))
    assert _read(ids) == [bpe.encode(text) for text in TEXTS]
    decode(DecodeOptions(tokenizer_name_or_path=folder, input_path=str(ids), output_path=str(back)))
    assert [json.loads(line) for line in back.read_bytes().split(b"\n")[:-1]] == TEXTS


def test_special_tokens_around_a_text(sentencepiece_folder: Path, tmp_path: Path) -> None:
    source = _file(tmp_path / "in", ["a lion", "</s>"])
    ids, back, all_ = tmp_path / "ids", tmp_path / "back", tmp_path / "all"
    folder = str(sentencepiece_folder)
    encode(
        EncodeOptions(
            tokenizer_name_or_path=folder,
            input_path=source,
            output_path=str(ids),
            add_special_tokens=True,
            parse_special=True,
        )
    )
    tokenizer = load_tokenizer(folder)
    assert _read(ids)[1] == [tokenizer.bos_token_id, tokenizer.eos_token_id]
    for path, taken in ((back, True), (all_, False)):
        decode(
            DecodeOptions(
                tokenizer_name_or_path=folder,
                input_path=str(ids),
                output_path=str(path),
                add_special_tokens=taken,
            )
        )
    assert _read(back) == ["a lion", "</s>"]
    assert _read(all_) == ["<s>a lion", "<s></s>"]


def test_lines_are_answered_at_once(bpe: Tokenizer, bpe_folder: Path) -> None:
    command = [sys.executable, "-m", "llm_cli", "data", "encode"]
    command += ["--tokenizer_name_or_path", str(bpe_folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in TEXTS[:2]:
            process.stdin.write(json.dumps(text).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == bpe.encode(text)
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"not json", r"line 2: invalid JSON"),
        (b'{"text": "a"}', r"line 2: a JSON dict where a string is needed"),
        (b'"\\ud800"', r"line 2: half of a surrogate pair"),
        (b'"\xff"', r"line 2: invalid UTF-8"),
        (b'\n"c"', r"line 2: the line is blank"),
    ],
)
def test_wrong_lines_are_named(
    bpe_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    line: bytes,
    said: str,
) -> None:
    source = io.TextIOWrapper(io.BytesIO(b'"a"\n' + line + b"\n"))
    monkeypatch.setattr(sys, "stdin", source)
    with pytest.raises(RecordError, match=said):
        encode(
            EncodeOptions(tokenizer_name_or_path=str(bpe_folder), output_path=str(tmp_path / "ids"))
        )
    assert not (tmp_path / "ids").exists()


def test_blank_lines_at_the_end_are_nothing(
    bpe_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'"a"\n\n  \n')))
    out = tmp_path / "out"
    encode(EncodeOptions(tokenizer_name_or_path=str(bpe_folder), output_path=str(out)))
    assert len(_read(out)) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[1, true]", "no JSON list of ids"),
        ('"a"', "no JSON list of ids"),
        ("[600]", "id 600: the vocabulary ends at 599"),
        ("[-1]", "id -1"),
    ],
)
def test_wrong_ids_are_named(bpe_folder: Path, tmp_path: Path, value: str, said: str) -> None:
    path = tmp_path / "ids"
    path.write_text(value + "\n", encoding="utf-8")
    out = tmp_path / "out"
    with pytest.raises(RecordError, match=said):
        decode(
            DecodeOptions(
                tokenizer_name_or_path=str(bpe_folder), input_path=str(path), output_path=str(out)
            )
        )
    assert not out.exists()


def test_missing_input_is_named(bpe_folder: Path, tmp_path: Path) -> None:
    options = EncodeOptions(
        tokenizer_name_or_path=str(bpe_folder), input_path=str(tmp_path / "absent")
    )
    with pytest.raises(RecordError, match="absent is no file"):
        encode(options)
