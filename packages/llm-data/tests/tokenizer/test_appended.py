"""ChatGLM2 and 3: special tokens that follow the pieces of their sentencepiece model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.tokenizer.appended import CHATGLM, Appended, appended_of


@pytest.fixture
def chatglm(sentencepiece_folder: Path, tmp_path: Path) -> Tokenizer:
    shutil.copy(sentencepiece_folder / "tokenizer.model", tmp_path)
    config = {"tokenizer_class": "ChatGLMTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return load_tokenizer(tmp_path)


def test_ids_follow_the_pieces(chatglm: Tokenizer, sentencepiece_folder: Path) -> None:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(
        model_file=str(sentencepiece_folder / "tokenizer.model")
    )
    size = model.get_piece_size()
    assert chatglm.special_tokens["[gMASK]"] == size + 1
    assert chatglm.special_tokens["<|user|>"] == size + 6
    assert chatglm.vocab_size == size + 9
    text = "  import sop\n"
    assert chatglm.encode(text) == model.encode(text)
    assert chatglm.encode("x", True) == [size + 1, size + 3, *model.encode("x")]
    assert (chatglm.bos_token_id, chatglm.eos_token_id) == (model.bos_id(), model.eos_id())
    assert chatglm.pad_token_id == model.unk_id()


def test_by_the_number_of_pieces_where_no_class_is_named() -> None:
    assert appended_of({}, 64789) is CHATGLM
    assert appended_of({}, 32000) == Appended()
    assert appended_of({"tokenizer_class": "LlamaTokenizer"}, 64789) == Appended()


def test_roles_only_when_asked(chatglm: Tokenizer) -> None:
    user = chatglm.special_tokens["<|user|>"]
    assert user not in chatglm.encode("<|user|>")
    assert chatglm.encode("<|user|>", parse_special=True) == [user]
    assert chatglm.decode([user]) == ""
    assert chatglm.decode([user], skip_special_tokens=False) == "<|user|>"
