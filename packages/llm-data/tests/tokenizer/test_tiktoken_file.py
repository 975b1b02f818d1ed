"""Files of ranks: ids of the reference QWenTokenizer, Llama 3's scheme, damage."""

from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.tokenizer.tiktoken_file import LLAMA3, QWEN, TiktokenTokenizer

MERGED = [b"in", b"th", b" th", b" the", b"12", b"123", b"\xe4\xbd", b"\xe4\xbd\xa0", b"  "]


def _write(path: Path) -> Path:
    tokens = [bytes([byte]) for byte in range(256)] + MERGED
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def llama3(tmp_path: Path) -> Tokenizer:
    """A small file under the name that Llama 3 uses."""
    return load_tokenizer(_write(tmp_path / "tokenizer.model"))


def test_qwen_ids_are_the_reference_tokenizers(shared_real: Path) -> None:
    folder = shared_real / "tokenizers"
    tokenizer = load_tokenizer(folder / "qwen")
    golden = json.loads((folder / "golden_qwen_v1.json").read_text(encoding="utf-8"))
    cases = golden["cases"]
    assert len(cases) > 50
    # The reference parses special tokens that a text spells out.
    assert [tokenizer.encode(c["text"], parse_special=True) for c in cases] == [
        case["ids"] for case in cases
    ]
    plain = [case for case in cases if "<|im_start|>" not in case["text"]]
    assert [tokenizer.encode(case["text"], True) for case in plain] == [
        case["ids_with_special"] for case in plain
    ]
    decoded = [tokenizer.decode(case["ids"], skip_special_tokens=False) for case in cases]
    assert decoded == [case["decoded"] for case in cases]
    for chat in golden["chat"].values():
        assert tokenizer.encode(chat["text"], parse_special=True) == chat["ids"]
    assert tokenizer.vocab_size == golden["vocab_size"]


def test_qwen_normalizes_and_cuts_single_digits(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(_write(tmp_path / "qwen.tiktoken"))
    assert isinstance(tokenizer, TiktokenTokenizer)
    assert tokenizer.scheme is QWEN
    assert tokenizer.encode("123") == [ord("1"), ord("2"), ord("3")]
    assert tokenizer.encode("e\u0301") == list("\u00e9".encode())
    assert tokenizer.eos_token_id == tokenizer.special_tokens["<|endoftext|>"] == 265


def test_llama3_scheme(llama3: Tokenizer) -> None:
    assert isinstance(llama3, TiktokenTokenizer)
    assert llama3.scheme is LLAMA3
    assert llama3.encode("123") == [256 + MERGED.index(b"123")]
    assert llama3.vocab_size == 265 + 256
    assert (llama3.bos_token_id, llama3.eos_token_id) == (265, 266)
    assert llama3.special_tokens["<|start_header_id|>"] == 265 + 6
    assert llama3.special_tokens["<|eot_id|>"] == 265 + 9
    assert llama3.special_tokens["<|reserved_special_token_250|>"] == 265 + 255
    assert llama3.encode("in the", True) == [265, 256, 256 + MERGED.index(b" the")]


def test_special_tokens_only_when_asked(llama3: Tokenizer) -> None:
    text = "a<|eot_id|>b"
    end = llama3.special_tokens["<|eot_id|>"]
    assert end not in llama3.encode(text)
    assert llama3.decode(llama3.encode(text)) == text
    assert llama3.encode(text, parse_special=True) == [ord("a"), end, ord("b")]
    assert llama3.decode([ord("a"), end, 9999, -1]) == "a"
    assert llama3.decode([end], skip_special_tokens=False) == "<|eot_id|>"


def test_config_renames_reserved_tokens(tmp_path: Path) -> None:
    path = _write(tmp_path / "tokenizer.model")
    entry = {"content": "<|eom_id|>", "special": True}
    config = {"added_tokens_decoder": {"273": entry}, "eos_token": "<|eom_id|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(path)
    assert tokenizer.eos_token_id == 273
    assert tokenizer.id_to_token(273) == "<|eom_id|>"
    assert "<|reserved_special_token_4|>" not in tokenizer.special_tokens


def test_pieces_and_copies(llama3: Tokenizer, tmp_path: Path) -> None:
    assert llama3.id_to_token(256) == "in"
    assert llama3.id_to_token(0xE4) == "\ufffd"
    assert llama3.id_to_token(10_000) is None
    other = tmp_path / "copy"
    other.mkdir()
    llama3.save(other)
    for copy in (load_tokenizer(other), pickle.loads(pickle.dumps(llama3))):
        assert copy.encode_batch(["the 123"]) == [llama3.encode("the 123")]


def test_blanks_longer_than_the_library_bears(llama3: Tokenizer) -> None:
    text = "a" + " " * 1_200_000 + "b"
    assert llama3.decode(llama3.encode(text)) == text


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "qwen.tiktoken"
    path.write_text("IQ== 0\nno rank\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"qwen\.tiktoken:2 is no line of base64"):
        load_tokenizer(tmp_path)
    path.write_text("IQ== 0\n", encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"cut off: it has no rank for byte 0"):
        load_tokenizer(tmp_path)


def test_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "qwen.tiktoken")
    monkeypatch.setitem(__import__("sys").modules, "tiktoken", None)
    with pytest.raises(TokenizerError, match=r"pip install tiktoken"):
        load_tokenizer(tmp_path)
