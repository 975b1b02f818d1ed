"""Tokenizers in GGUF files, read and written, with the package gguf as the judge."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import gguf
import pytest

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import FileFormatError
from llm_convert.foreign.gguf_tokenizer import (
    add_tokenizer,
    read_tokenizer,
    tokenizer_metadata,
)
from llm_convert.tokenizers import Kind, UncarriedError, Vocabulary

NORMAL, CONTROL, BYTE = Kind.NORMAL, Kind.CONTROL, Kind.BYTE
BPE = Vocabulary(
    "bpe",
    ("<s>", "a", "b", "Ġ", "ab"),
    (CONTROL, NORMAL, NORMAL, NORMAL, NORMAL),
    merges=("a b",),
    words="qwen2",
    ids={"eos": 0, "pad": 0},
    template="{{ messages }}",
)
PIECES = Vocabulary(
    "sentencepiece",
    ("<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁a"),
    (Kind.UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, NORMAL),
    scores=(*[0.0] * 259, -1.5),
    ids={"unk": 0, "bos": 1, "eos": 2},
    add_bos=True,
    add_space=False,
)


def written(path: Path, metadata: dict[str, Any], arch: str = "llama") -> Path:
    writer = gguf.GGUFWriter(path, arch)
    add_tokenizer(writer, metadata)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("vocabulary", [BPE, PIECES], ids=["bpe", "sentencepiece"])
def test_there_and_back(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = written(tmp_path / "x.gguf", tokenizer_metadata(vocabulary, 300))
    found = read_tokenizer(path)
    assert found is not None
    assert len(found.tokens) == 300
    if vocabulary.model == "bpe":
        assert found.trimmed().tokens == vocabulary.tokens
        assert (found.merges, found.words) == (vocabulary.merges, "qwen2")
    else:
        assert found.trimmed() == vocabulary
    assert (found.ids, found.template) == (vocabulary.ids, vocabulary.template)


def test_what_gguf_reads_of_it(tmp_path: Path) -> None:
    keys = gguf.Keys.Tokenizer
    reader = gguf.GGUFReader(written(tmp_path / "x.gguf", tokenizer_metadata(BPE, 7)))

    def field(key: str) -> Any:
        found = reader.get_field(key)
        return None if found is None else found.contents()

    assert (field(keys.MODEL), field(keys.PRE)) == ("gpt2", "qwen2")
    assert field(keys.LIST) == ["<s>", "a", "b", "Ġ", "ab", "[PAD5]", "[PAD6]"]
    kinds = [gguf.TokenType(kind).name for kind in field(keys.TOKEN_TYPE)]
    assert kinds == ["CONTROL", *["NORMAL"] * 4, "UNUSED", "UNUSED"]
    assert field(keys.MERGES) == ["a b"]
    assert (field(keys.EOS_ID), field(keys.PAD_ID), field(keys.BOS_ID)) == (0, 0, None)
    assert (field(keys.ADD_BOS), field(keys.CHAT_TEMPLATE)) == (False, "{{ messages }}")


def test_a_file_that_says_little(tmp_path: Path) -> None:
    """Older files name no way to cut words, and none says what it would add by default."""
    some = {
        key: value
        for key, value in tokenizer_metadata(BPE, 5).items()
        if key.rpartition(".")[2] in ("model", "tokens", "merges", "token_type")
    }
    found = read_tokenizer(written(tmp_path / "a.gguf", some, arch="qwen2"))
    assert found is not None
    assert (found.words, dict(found.ids), found.add_bos) == ("qwen2", {}, False)
    llama3 = read_tokenizer(written(tmp_path / "b.gguf", {**some, "tokenizer.ggml.pre": "llama3"}))
    assert llama3 is not None
    assert (llama3.words, llama3.add_bos) == ("llama-bpe", True)
    with pytest.raises(UncarriedError, match="'default'"):
        read_tokenizer(written(tmp_path / "c.gguf", some))
    assert read_tokenizer(written(tmp_path / "d.gguf", {})) is None


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"model": "t5"}, UncarriedError, "of the kind 't5'"),
        ({"pre": "poro-chat"}, UncarriedError, "'poro-chat'"),
        ({"token_type": [1, 2]}, FileFormatError, "5 tokens, 2 types"),
        ({"token_type": [1, 2, 3, 4, 99]}, FileFormatError, "99"),
        ({"tokens": [1, 2, 3, 4, 5]}, FileFormatError, "texts are needed"),
        ({"merges": "a b"}, FileFormatError, "texts are needed"),
    ],
)
def test_tokenizers_that_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    stated = {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    path = written(tmp_path / "x.gguf", tokenizer_metadata(BPE, 5) | stated)
    with pytest.raises(error, match=said):
        read_tokenizer(path)


def test_special_tokens_beyond_the_vocabulary_are_left_out(tmp_path: Path) -> None:
    stated = tokenizer_metadata(BPE, 5) | {"tokenizer.ggml.eos_token_id": 77}
    found = read_tokenizer(written(tmp_path / "x.gguf", stated))
    assert found is not None
    assert dict(found.ids) == {"pad": 0}


def tokenizer_json(folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(alphabet[:255])} | {"th": 255}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("t", "h")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def model(golden: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(golden / "llama_v2_gqa" / name)
    return folder


def to_gguf(model: Path, target: Path) -> Path:
    """The file alone, without what came along."""
    options = ConvertOptions(
        from_torch=str(model), output_path=str(target), to="gguf", verify="false"
    )
    convert(options)
    alone = target.parent / f"{target.name}_alone"
    alone.mkdir()
    return (target / "model.gguf").rename(alone / "model.gguf")


def test_the_command_carries_it_both_ways(model: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer_json(model)
    (model / "tokenizer_config.json").write_text(json.dumps({"eos_token": "th"}))
    path = to_gguf(model, tmp_path / "gguf")
    back = tmp_path / "back"
    convert(ConvertOptions(gguf=str(path), output_path=str(back), verify="false"))
    text = "the thing, again"
    before, after = (
        Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
        for folder in (model, back)
    )
    assert before == after
    assert 255 in after
    config = json.loads((back / "tokenizer_config.json").read_text())
    assert (config["eos_token"], config["add_bos_token"]) == ("th", False)
    # From one GGUF file to another, which has no folder with a tokenizer.
    again = ConvertOptions(
        gguf=str(path), output_path=str(tmp_path / "q8"), to="gguf", dtype="q8_0", verify="false"
    )
    convert(again)
    assert read_tokenizer(tmp_path / "q8" / "model.gguf") == read_tokenizer(path)


def test_what_is_not_carried_is_said(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (model / "vocab.txt").write_text("[PAD]\n")
    (model / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece"}}))
    with caplog.at_level(logging.WARNING):
        path = to_gguf(model, tmp_path / "gguf")
    assert "The GGUF file has no tokenizer" in caplog.text
    assert "no byte-level BPE (WordPiece)" in caplog.text
    assert read_tokenizer(path) is None
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        convert(ConvertOptions(gguf=str(path), output_path=str(tmp_path / "b"), verify="false"))
    assert "is not written: the file has none" in caplog.text
