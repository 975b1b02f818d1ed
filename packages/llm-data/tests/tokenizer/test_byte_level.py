"""vocab.json + merges.txt: ids of the reference tokenizers, schemes, added tokens, damage."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer, load_tokenizer


def _files(folder: Path, source: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        shutil.copy(source / name, folder)
    return folder


@pytest.fixture
def split_folder(bpe_folder: Path, tmp_path: Path) -> Path:
    """The tokenizer of `bpe_folder` as vocab.json and merges.txt, without a config."""
    model = json.loads((bpe_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    text = "\n".join(["#version: 0.2", *merges, ""])
    (tmp_path / "merges.txt").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize(("name", "golden"), [("gpt2", "gpt2"), ("qwen2", "qwen2_fast")])
def test_ids_are_the_reference_tokenizers(
    shared_real: Path, tmp_path: Path, name: str, golden: str, config: bool
) -> None:
    names = ("vocab.json", "merges.txt", *(["tokenizer_config.json"] if config else []))
    tokenizer = load_tokenizer(_files(tmp_path, shared_real / "tokenizers" / name, names))
    path = shared_real / "tokenizers" / f"golden_{golden}.json"
    cases: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    # The reference parses special tokens that a text spells out.
    plain = [case for case in cases if "<|im_start|>" not in case["text"]]
    assert len(plain) > 50
    assert [tokenizer.encode(case["text"], True) for case in plain] == [
        case["ids_with_special"] for case in plain
    ]
    if config:
        assert [tokenizer.encode(case["text"], parse_special=True) for case in cases] == [
            case["ids"] for case in cases
        ]


def test_same_ids_as_the_tokenizer_json(split_folder: Path, bpe: Tokenizer) -> None:
    tokenizer = load_tokenizer(split_folder)
    text = "def f(x):\n    return x ** 2  # na\u00efve \u4f60\u597d 12345"
    assert tokenizer.encode(text) == bpe.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.eos_token_id == bpe.eos_token_id
    for other in (
        load_tokenizer(split_folder / "vocab.json"),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert other.encode(text) == bpe.encode(text)


def test_opt_puts_its_bos_before_a_text(split_folder: Path) -> None:
    vocabulary = json.loads((split_folder / "vocab.json").read_text(encoding="utf-8"))
    size = len(vocabulary)
    (split_folder / "vocab.json").write_text(
        json.dumps(vocabulary | {"</s>": size, "<pad>": size + 1}), encoding="utf-8"
    )
    config = {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "pad_token": "<pad>"}
    config |= dict.fromkeys(("bos_token", "eos_token", "unk_token"), "</s>")
    (split_folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(split_folder)
    assert tokenizer.encode("a", True) == [size, *tokenizer.encode("a")]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (size, size + 1)
    assert size not in tokenizer.encode("</s>")


def test_added_tokens(split_folder: Path, bpe: Tokenizer) -> None:
    entries = {
        "603": {"content": "<|mine|>", "special": True},
        "605": {"content": "<tool>", "special": False, "normalized": False},
    }
    config = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": entries}
    (split_folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(split_folder)
    assert tokenizer.vocab_size == 606
    # Not special: found in every text, as the reference does.
    assert tokenizer.encode("a<tool>") == [*bpe.encode("a"), 605]
    assert 603 not in tokenizer.encode("<|mine|>")
    assert tokenizer.encode("<|mine|>", parse_special=True) == [603]
    assert tokenizer.special_tokens["<|mine|>"] == 603
    assert "<tool>" not in tokenizer.special_tokens
    assert tokenizer.decode([605, 603]) == "<tool>"


def test_qwen2_normalizes_and_cuts_single_digits(split_folder: Path) -> None:
    (split_folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "Qwen2Tokenizer"}), encoding="utf-8"
    )
    tokenizer = load_tokenizer(split_folder)
    assert tokenizer.decode(tokenizer.encode("e\u0301")) == "\u00e9"
    assert tokenizer.encode("12") == tokenizer.encode("1") + tokenizer.encode("2")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("merges.txt", "#version\na b c\n", r"merges\.txt:2 is no pair"),
        ("merges.txt", "#version\nzz qq\n", r"merges\.txt does not fit vocab\.json"),
        ("vocab.json", '{"a": "b"}', r"vocab\.json gives 'a' no id"),
        ("vocab.json", "{", r"vocab\.json is not readable JSON"),
    ],
)
def test_damage_is_named(split_folder: Path, name: str, content: str, said: str) -> None:
    (split_folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(TokenizerError, match=said):
        load_tokenizer(split_folder)
