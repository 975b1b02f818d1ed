"""tokenizer.model: ids of the reference LlamaTokenizer, special tokens, damage."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_data.errors import TokenizerError
from llm_data.tokenizer import load_tokenizer


@pytest.mark.parametrize("legacy", [False, True])
def test_llama2_ids_are_the_reference_tokenizers(
    shared_real: Path, tmp_path: Path, legacy: bool
) -> None:
    shutil.copy(shared_real / "tokenizers" / "llama2" / "tokenizer.model", tmp_path)
    config = {"legacy": legacy}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    golden = shared_real / "tokenizers" / f"golden_llama2_legacy{int(legacy)}.json"
    cases = json.loads(golden.read_text(encoding="utf-8"))["cases"]
    tokenizer = load_tokenizer(tmp_path)
    assert len(cases) > 50
    assert [tokenizer.encode(case["text"]) for case in cases] == [case["ids"] for case in cases]
    with_special = [tokenizer.encode(case["text"], True) for case in cases]
    assert with_special == [case["ids_with_special"] for case in cases]
    if not legacy:
        # The legacy reference loses a leading space when it decodes; ours never does.
        decoded = [tokenizer.decode(case["ids"]) for case in cases]
        assert decoded == [case["decoded"] for case in cases]


def test_stories260k_ids_are_the_reference_tokenizers(shared_real: Path) -> None:
    tokenizer = load_tokenizer(shared_real / "models" / "stories260K-hf")
    golden = shared_real / "tokenizers" / "golden_stories260K.json"
    cases = json.loads(golden.read_text(encoding="utf-8"))["cases"]
    assert [tokenizer.encode(case["text"]) for case in cases] == [case["ids"] for case in cases]
    assert (tokenizer.vocab_size, tokenizer.bos_token_id, tokenizer.eos_token_id) == (512, 1, 2)


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), max_size=40))
def test_decoding_gives_the_normalised_text(sentencepiece_folder: Path, text: str) -> None:
    import sentencepiece

    tokenizer = load_tokenizer(sentencepiece_folder)
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(sentencepiece_folder / "tokenizer.model")
    )
    # The model normalises (NFKC) before it cuts, so that is what can come back.
    normal = model.Normalize(text).removeprefix("\u2581").replace("\u2581", " ")
    assert tokenizer.decode(tokenizer.encode(text)).strip() == normal.strip()


def test_special_tokens_only_when_asked(sentencepiece_folder: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece_folder)
    plain = tokenizer.encode("a</s>b")
    assert tokenizer.eos_token_id not in plain
    assert tokenizer.decode(plain) == "a</s>b"
    parsed = tokenizer.encode("a</s>b", parse_special=True)
    assert parsed.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(parsed, skip_special_tokens=False) == "a</s>b"
    assert tokenizer.encode("a", True)[0] == tokenizer.bos_token_id


def test_added_tokens_extend_the_vocabulary(sentencepiece_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sentencepiece_folder, tmp_path, dirs_exist_ok=True)
    size = load_tokenizer(tmp_path).vocab_size
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<|user|>": size}), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocab_size == size + 1
    assert tokenizer.encode("<|user|>", parse_special=True) == [size]
    assert tokenizer.id_to_token(size) == "<|user|>"
    assert tokenizer.id_to_token(size + 1) is None
    assert tokenizer.decode([size], skip_special_tokens=False) == "<|user|>"
    assert pickle.loads(pickle.dumps(tokenizer)).vocab_size == size + 1


def test_ids_beyond_the_pieces_have_no_text(sentencepiece_folder: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece_folder)
    ids = tokenizer.encode("a lion")
    beyond = tokenizer.vocab_size
    assert tokenizer.decode([*ids, beyond, -1]) == tokenizer.decode(ids)
    assert tokenizer.decode([beyond + 7], skip_special_tokens=False) == ""


@pytest.mark.parametrize("content", [b"", b"no model at all"])
def test_corrupt_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.model is not a readable tokenizer"):
        load_tokenizer(tmp_path)


def test_missing_library_names_the_extra(
    sentencepiece_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(TokenizerError, match=r"pip install sentencepiece"):
        load_tokenizer(sentencepiece_folder)


def test_added_tokens_that_are_not_special_are_found_in_every_text(
    sentencepiece_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(sentencepiece_folder, tmp_path, dirs_exist_ok=True)
    size = load_tokenizer(tmp_path).vocab_size
    entry = {"content": "<tool>", "special": False}
    config = {"added_tokens_decoder": {str(size): entry}, "legacy": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("a<tool>b").count(size) == 1
    assert tokenizer.decode(tokenizer.encode("a<tool>b")) == "a<tool>b"
    assert "<tool>" not in tokenizer.special_tokens


def test_paddlenlp_names_the_file_otherwise(sentencepiece_folder: Path, tmp_path: Path) -> None:
    shutil.copy(sentencepiece_folder / "tokenizer.model", tmp_path / "sentencepiece.bpe.model")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("a lion") == load_tokenizer(sentencepiece_folder).encode("a lion")
