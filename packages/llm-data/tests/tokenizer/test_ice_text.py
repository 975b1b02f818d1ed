"""ice_text.model: ids of the reference ChatGLMTokenizer, blanks, image tokens."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.tokenizer.ice_text import IceTextTokenizer

CONTROL = ["<pad>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"]
WRITTEN = ["<n>", "<|tab|>", *(f"<|blank_{i}|>" for i in range(2, 81))]


@pytest.fixture(scope="module")
def ice_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with the pieces that the class knows by name."""
    import argparse

    import sentencepiece

    folder = tmp_path_factory.mktemp("ice")
    sentencepiece.SentencePieceTrainer.train(
        input=str(Path(argparse.__file__)),
        model_prefix=str(folder / "ice_text"),
        vocab_size=700,
        model_type="unigram",
        byte_fallback=True,
        control_symbols=CONTROL,
        user_defined_symbols=WRITTEN,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return folder


@pytest.fixture(scope="module")
def ice(ice_folder: Path) -> Tokenizer:
    return load_tokenizer(ice_folder)


def test_ids_are_the_reference_tokenizers(shared_real: Path) -> None:
    folder = shared_real / "tokenizers"
    tokenizer = load_tokenizer(folder / "chatglm_6b")
    golden = json.loads((folder / "golden_chatglm_6b.json").read_text(encoding="utf-8"))
    cases = golden["cases"]
    assert len(cases) > 50
    assert [tokenizer.encode(case["text"]) for case in cases] == [case["ids"] for case in cases]
    with_special = [tokenizer.encode(case["text"], True) for case in cases]
    assert with_special == [case["ids_with_special"] for case in cases]
    for chat in ("single", "round2"):
        assert tokenizer.encode(golden["chat"][chat]["text"], True) == golden["chat"][chat]["ids"]
    assert tokenizer.vocab_size == golden["vocab_size"]
    # The reference also takes spaces away before punctuation when it decodes; ours never does.
    kept = [case for case in cases if " ?" not in case["text"]]
    assert [tokenizer.decode(c["ids"]) for c in kept] == [case["decoded"] for case in kept]


def test_blanks_come_back(ice: Tokenizer) -> None:
    assert isinstance(ice, IceTextTokenizer)
    text = "def f():\n\tif x:\n" + " " * 8 + "return  1\n" + " " * 80 + "#" + " " * 83 + "end"
    assert ice.decode(ice.encode(text)) == text
    pieces = [ice.id_to_token(i) for i in ice.encode(" " * 83 + "end")]
    assert pieces[1:3] == ["<|blank_80|>", "<|blank_3|>"]


def test_special_tokens_only_when_asked(ice: Tokenizer) -> None:
    text = "a<eop>b[gMASK]"
    assert not set(ice.encode(text)) & set(ice.special_tokens.values())
    assert ice.decode(ice.encode(text)) == text
    parsed = ice.encode(text, parse_special=True)
    assert ice.eos_token_id in parsed
    assert parsed[-1] == ice.special_tokens["[gMASK]"]
    asked = ice.encode("a", True)
    assert asked == [*ice.encode("a"), ice.special_tokens["[gMASK]"], ice.bos_token_id]
    assert ice.decode(asked) == "a"
    assert ice.decode(asked, skip_special_tokens=False) == "a[gMASK]<sop>"


def test_image_tokens_come_before_the_pieces(
    ice: Tokenizer, ice_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(ice_folder, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"num_image_tokens": 20000}), encoding="utf-8")
    shifted = load_tokenizer(tmp_path)
    assert shifted.vocab_size == ice.vocab_size + 20000
    assert shifted.encode("class Action", True) == [
        20000 + i for i in ice.encode("class Action", True)
    ]
    assert shifted.id_to_token(7) == "<image_7>"
    assert shifted.encode("<image_7>", parse_special=True) == [7]
    assert shifted.encode("<image_20000>", parse_special=True) == shifted.encode("<image_20000>")
    assert len(shifted.encode("<image_7>")) > 1
    assert shifted.decode([7, *shifted.encode("a")]) == "a"
    assert shifted.decode([7], skip_special_tokens=False) == "<image_7>"


def test_saved_copy_and_pickle_are_equal(ice: Tokenizer, tmp_path: Path) -> None:
    ice.save(tmp_path)
    for other in (load_tokenizer(tmp_path), pickle.loads(pickle.dumps(ice))):
        assert other.encode_batch(["a\n  b"]) == [ice.encode("a\n  b")]
        assert other.special_tokens == ice.special_tokens
    assert ice.decode([-1, ice.vocab_size]) == ""


def test_corrupt_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "ice_text.model").write_bytes(b"x")
    with pytest.raises(TokenizerError, match=r"ice_text\.model is not a readable tokenizer"):
        load_tokenizer(tmp_path)
