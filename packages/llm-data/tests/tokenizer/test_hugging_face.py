"""tokenizer.json: ids of the reference tokenizers, special tokens, damage."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer, load_tokenizer


def _cases(path: Path) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return cases


@pytest.mark.parametrize("name", ["gpt2", "qwen2"])
def test_ids_and_texts_are_the_reference_tokenizers(shared_real: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared_real / "tokenizers" / name)
    cases = _cases(shared_real / "tokenizers" / f"golden_{name}_fast.json")
    assert len(cases) > 50
    texts = [case["text"] for case in cases]
    # The reference parses special tokens that a text spells out.
    assert [tokenizer.encode(t, parse_special=True) for t in texts] == [c["ids"] for c in cases]
    decoded = [tokenizer.decode(case["ids"], skip_special_tokens=False) for case in cases]
    assert decoded == [case["decoded"] for case in cases]


def test_special_tokens_in_user_text_stay_text(bpe: Tokenizer) -> None:
    text = "a<|im_end|>b<|endoftext|>"
    end = bpe.special_tokens["<|im_end|>"]
    plain = bpe.encode(text)
    assert not set(plain) & set(bpe.special_tokens.values())
    assert bpe.decode(plain) == text
    parsed = bpe.encode(text, parse_special=True)
    assert parsed[1] == end
    assert parsed[-1] == bpe.eos_token_id
    assert bpe.decode(parsed) == "ab"
    assert bpe.decode(parsed, skip_special_tokens=False) == text


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60))
def test_byte_level_round_trip(bpe: Tokenizer, text: str) -> None:
    assert bpe.decode(bpe.encode(text), skip_special_tokens=False) == text


def test_batch_is_each_alone(bpe: Tokenizer) -> None:
    texts = ["def f():", "", "naïve 你好", "  x"]
    assert bpe.encode_batch(texts) == [bpe.encode(text) for text in texts]


def test_roles_and_size(bpe: Tokenizer) -> None:
    assert bpe.vocab_size == 600
    assert bpe.eos_token_id == bpe.pad_token_id == 0
    assert bpe.bos_token_id is None
    assert bpe.id_to_token(0) == "<|endoftext|>"
    assert bpe.id_to_token(600) is None


def test_saved_copy_and_pickle_are_equal(bpe: Tokenizer, tmp_path: Path) -> None:
    bpe.save(tmp_path)
    for other in (load_tokenizer(tmp_path), pickle.loads(pickle.dumps(bpe))):
        assert other.encode("import os\n") == bpe.encode("import os\n")
        assert other.special_tokens == bpe.special_tokens


def test_truncation_saved_in_the_file_is_not_applied(bpe_folder: Path, tmp_path: Path) -> None:
    content = json.loads((bpe_folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["truncation"] = {
        "direction": "Right",
        "max_length": 2,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    text = "class Action: pass"
    assert load_tokenizer(tmp_path).encode(text) == load_tokenizer(bpe_folder).encode(text)


def test_special_by_config_only_is_skipped_when_decoding(bpe_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(bpe_folder, tmp_path, dirs_exist_ok=True)
    pieces = (load_tokenizer(bpe_folder).id_to_token(i) or "" for i in range(300, 600))
    word = next(piece for piece in pieces if piece.isascii() and len(piece) > 3)
    config = {"eos_token": "<|endoftext|>", "additional_special_tokens": [word]}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    ids = tokenizer.encode(word, parse_special=True)
    assert ids == [tokenizer.special_tokens[word]]
    assert tokenizer.decode(ids) == ""
    assert tokenizer.decode(ids, skip_special_tokens=False) == word


def test_corrupt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": ', encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json is not a readable tokenizer"):
        load_tokenizer(tmp_path)
