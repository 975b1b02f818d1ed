"""Tokenizers read from a folder and written to another, judged by the libraries they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm_convert.errors import FileFormatError
from llm_convert.tokenizers import (
    Kind,
    UncarriedError,
    Vocabulary,
    holds_tokenizer,
    read_folder,
    write_folder,
)
from llm_convert.tokenizers.words import WORDS, pre_tokenizer_of

Making = Callable[..., Path]
TEXT = "It's 2026: they CAN'T stop  at 12345 dogs\n\n ünï日本 🙂 <tool></s>"


def vocabulary_of(folder: Path) -> Vocabulary:
    found = read_folder(folder)
    assert found is not None
    return found


def fast(folder: Path, *, special: bool = False) -> list[int]:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    return list(tokenizer.encode(TEXT, add_special_tokens=special).ids)


@pytest.mark.parametrize("words", WORDS)
def test_byte_level_there_and_back(byte_level: Making, tmp_path: Path, words: str) -> None:
    source = byte_level(eos_token="</s>", chat_template="{{ messages }}")
    content = json.loads((source / "tokenizer.json").read_text())
    content["pre_tokenizer"] = pre_tokenizer_of(words)
    content["model"]["ignore_merges"] = WORDS[words].whole
    (source / "tokenizer.json").write_text(json.dumps(content))
    found = vocabulary_of(source)
    assert (found.words, dict(found.ids), found.template) == (
        words,
        {"bos": 0, "eos": 1},
        "{{ messages }}",
    )
    assert found.kinds[:3] == (Kind.CONTROL, Kind.CONTROL, Kind.NORMAL)
    assert (found.tokens[-1], found.kinds[-1]) == ("<tool>", Kind.USER_DEFINED)
    back = tmp_path / "back"
    back.mkdir()
    assert write_folder(found.padded(512), back) == ["tokenizer.json", "tokenizer_config.json"]
    assert fast(back) == fast(source)
    assert vocabulary_of(back) == found


def test_words_are_those_of_the_library(byte_level: Making) -> None:
    """GPT-2's expression is built into the library; the copy here cuts as it does."""
    from tokenizers import Regex, pre_tokenizers

    ours = pre_tokenizers.Split(Regex(WORDS["gpt-2"].pattern), behavior="isolated")
    apart = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    both = pre_tokenizers.Sequence([ours, apart])
    theirs = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert both.pre_tokenize_str(TEXT) == theirs.pre_tokenize_str(TEXT)
    assert vocabulary_of(byte_level()).words == "gpt-2"


def test_what_is_put_around_texts(byte_level: Making, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    source = byte_level()
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<s> $A </s>",
                pair="<s> $A </s> <s> $B </s>",
                special_tokens=[("<s>", 0), ("</s>", 1)],
            ),
        ]
    )
    tokenizer.save(str(source / "tokenizer.json"))
    found = vocabulary_of(source)
    assert (found.add_bos, found.add_eos) == (True, True)
    back = tmp_path / "back"
    back.mkdir()
    write_folder(found, back)
    assert fast(back, special=True) == fast(source, special=True)
    assert fast(back, special=True)[0] == 0


def test_sentencepiece_there_and_back(sentencepiece_folder: Making, tmp_path: Path) -> None:
    import sentencepiece

    source = sentencepiece_folder()
    found = vocabulary_of(source)
    assert found.kinds[:3] == (Kind.UNKNOWN, Kind.CONTROL, Kind.CONTROL)
    assert dict(found.ids) == {"unk": 0, "bos": 1, "eos": 2}
    assert (found.add_bos, found.add_eos, found.add_space) == (True, False, True)
    back = tmp_path / "back"
    back.mkdir()
    assert write_folder(found.padded(450), back) == ["tokenizer.model", "tokenizer_config.json"]
    before, after = (
        sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        for folder in (source, back)
    )
    assert after.encode(TEXT) == before.encode(TEXT)
    assert after.decode(after.encode(TEXT)) == TEXT
    assert (after.bos_id(), after.eos_id(), after.unk_id(), after.pad_id()) == (1, 2, 0, -1)
    assert [after.id_to_piece(i) for i in range(400)] == list(found.tokens)
    assert [after.get_score(i) for i in range(400)] == list(found.scores)


def test_tokens_that_other_files_add(sentencepiece_folder: Making) -> None:
    folder = sentencepiece_folder()
    (folder / "added_tokens.json").write_text(json.dumps({"<a>": 401}))
    added = {
        "401": {"content": "<a>", "special": False},
        "400": {"content": "<b>", "special": True},
    }
    config = {"added_tokens_decoder": added, "pad_token": "<b>", "add_bos_token": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = vocabulary_of(folder)
    assert found.tokens[400:] == ("<b>", "<a>")
    assert found.kinds[400:] == (Kind.CONTROL, Kind.USER_DEFINED)
    assert len(found.scores) == 402
    assert (found.ids["pad"], found.add_bos) == (400, False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model_type": "unigram"}, "is unigram; only BPE"),
        ({"normalization_rule_name": "nmt_nfkc"}, "rewrites characters"),
        ({"remove_extra_whitespaces": True}, "removes spaces"),
        ({"byte_fallback": False}, "no token for every byte"),
    ],
)
def test_sentencepiece_models_that_are_not_carried(
    sentencepiece_folder: Making, options: dict[str, Any], said: str
) -> None:
    folder = sentencepiece_folder(**options, hard_vocab_limit=False)
    with pytest.raises(UncarriedError, match=said):
        read_folder(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"normalizer": {"type": "Lowercase"}}, "Lowercase"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "cut texts into words"),
        ({"pre_tokenizer": None}, "cut texts into words"),
        ({"decoder": None}, "no byte-level BPE"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, r"no byte-level BPE \(WordPiece\)"),
        ({"post_processor": {"type": "BertProcessing"}}, "BertProcessing"),
    ],
)
def test_byte_level_tokenizers_that_are_not_carried(
    byte_level: Making, change: dict[str, Any], said: str
) -> None:
    folder = byte_level()
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(content | change))
    with pytest.raises(UncarriedError, match=said):
        read_folder(folder)


def test_parts_of_a_model_that_gguf_lacks(byte_level: Making) -> None:
    folder = byte_level()
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["end_of_word_suffix"] = "</w>"
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UncarriedError, match="end_of_word_suffix"):
        read_folder(folder)


def test_folders_without_a_tokenizer_of_ours(tmp_path: Path) -> None:
    assert read_folder(tmp_path) is None
    assert not holds_tokenizer(tmp_path)
    (tmp_path / "qwen.tiktoken").write_text("IQ== 0\n")
    assert holds_tokenizer(tmp_path)
    with pytest.raises(UncarriedError, match="other files are there"):
        read_folder(tmp_path)
    (tmp_path / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(UncarriedError, match="other files are there"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.json"])
@pytest.mark.parametrize(
    "content", [b"{}", b"\x0a\xff\xff", b'{"model": {"vocab": [], "merges": 3}}']
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises((FileFormatError, UncarriedError)):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"added_tokens_decoder": ["<a>"]},
        {"added_tokens_decoder": {"x": {"content": "<a>"}}},
        {"added_tokens_decoder": {"9000000": {"content": "<a>"}}},
        {"chat_template": "\ud800"},
        {"chat_template": [1]},
        {"eos_token": {"content": []}},
    ],
)
def test_damaged_configurations(sentencepiece_folder: Making, config: dict[str, Any]) -> None:
    folder = sentencepiece_folder()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises((FileFormatError, UncarriedError)):
        read_folder(folder)


def test_more_tokens_than_rows_and_a_token_twice(byte_level: Making, tmp_path: Path) -> None:
    found = vocabulary_of(byte_level())
    with pytest.raises(UncarriedError, match="embedding 300 rows"):
        found.padded(300)
    twice = replace(found, tokens=(found.tokens[5], *found.tokens[1:]))
    with pytest.raises(UncarriedError, match="a token twice"):
        write_folder(twice, tmp_path)
