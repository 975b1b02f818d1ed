"""What goes with the weights: tokenizer files, a named template, the lock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers

from llm_data.chat_template import load_chat_template
from llm_data.errors import TemplateLockError
from llm_data.template_lock import LOCK_FILE, check_template_lock
from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_train.model.words import Words


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, "</s>"])}
    library = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = tokenizers.decoders.ByteLevel()
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    return load_tokenizer(folder)


def _out(tmp_path: Path) -> Path:
    out = tmp_path / "out"
    out.mkdir()
    return out


def test_a_template_that_was_named_goes_along_locked(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source = tmp_path / "chat.json"
    content = {"conversation": ["Q: {{user}} A: ", "{{bot}}</s>"], "query": "Q: {{query}} A: "}
    source.write_text(json.dumps(content))
    out = _out(tmp_path)
    Words(tokenizer, True, str(source)).save(out)
    saved = load_tokenizer(out)
    assert json.loads((out / "chat_template.json").read_text()) == content
    check_template_lock(out, saved, load_chat_template(None, saved))
    with pytest.raises(TemplateLockError, match="would be asked with no one"):
        check_template_lock(out, saved, None)


def test_pretraining_locks_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    out = _out(tmp_path)
    Words(tokenizer).save(out)
    assert (out / "tokenizer.json").is_file()
    assert not (out / LOCK_FILE).exists()
