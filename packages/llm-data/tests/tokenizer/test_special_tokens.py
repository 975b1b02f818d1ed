"""Special tokens out of the three config files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer.special_tokens import read_special_tokens


def _write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_strings_and_objects_and_precedence(tmp_path: Path) -> None:
    config = {
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": "</s>",
        "pad_token": None,
        "additional_special_tokens": ["<|a|>", {"content": "<|bb|>"}],
        "added_tokens_decoder": {
            "7": {"content": "<|c|>", "special": True},
            "8": {"content": "plain", "special": False},
        },
    }
    _write(tmp_path, "tokenizer_config.json", config)
    _write(tmp_path, "special_tokens_map.json", {"eos_token": "<|end|>"})
    special = read_special_tokens(tmp_path)
    assert special.roles == {"bos_token": "<s>", "eos_token": "<|end|>"}
    assert special.additional == ("<|a|>", "<|bb|>")
    assert special.added_ids == {"<|c|>": 7}
    assert special.texts() == ["<|end|>", "<|bb|>", "<|a|>", "<|c|>", "<s>"]


def test_no_files_no_tokens(tmp_path: Path) -> None:
    assert read_special_tokens(tmp_path).texts() == []


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json"):
        read_special_tokens(tmp_path)
