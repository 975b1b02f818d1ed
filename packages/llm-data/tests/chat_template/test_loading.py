"""Where a template is looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_data.chat_template import load_chat_template
from llm_data.chat_template.hugging_face import HuggingFaceTemplate
from llm_data.chat_template.paddle import PaddleTemplate
from llm_data.errors import ChatTemplateError
from llm_data.tokenizer import Tokenizer


class _Placed:
    """Only the folder of a tokenizer matters here."""

    def __init__(self, path: Path) -> None:
        self.path = path


def _load(source: Any, folder: Path) -> object:
    tokenizer: Any = _Placed(folder)
    return load_chat_template(source, tokenizer)


def test_order_in_the_tokenizers_folder(tmp_path: Path, chatml: Path) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    assert _load(None, folder) is None
    config = {"chat_template": "{{ messages }}", "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = _load(None, folder)
    assert isinstance(loaded, HuggingFaceTemplate)
    assert loaded.special == {"bos_token": "<s>"}
    (folder / "chat_template.jinja").write_text("{{ bos_token }}", encoding="utf-8")
    second = _load(None, folder)
    assert isinstance(second, HuggingFaceTemplate)
    assert second.text == "{{ bos_token }}"
    (folder / "chat_template.json").write_bytes(chatml.read_bytes())
    assert isinstance(_load(None, folder), PaddleTemplate)
    assert _load("none", folder) is None
    assert isinstance(_load(folder, tmp_path), PaddleTemplate)
    assert isinstance(_load(str(chatml), tmp_path), PaddleTemplate)


def test_hf_processor_json_and_named_templates(tmp_path: Path) -> None:
    (tmp_path / "chat_template.json").write_text(
        json.dumps({"chat_template": "{{ messages }}"}), encoding="utf-8"
    )
    assert isinstance(_load(None, tmp_path), HuggingFaceTemplate)
    (tmp_path / "chat_template.json").unlink()
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    config = {"chat_template": named}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = _load(None, tmp_path)
    assert isinstance(loaded, HuggingFaceTemplate)
    assert loaded.text == "d"


def test_missing_and_broken(tmp_path: Path, bpe: Tokenizer) -> None:
    with pytest.raises(ChatTemplateError, match="does not exist"):
        load_chat_template(tmp_path / "absent.json", bpe)
    with pytest.raises(ChatTemplateError, match=r"neither chat_template\.json nor"):
        load_chat_template(tmp_path, bpe)
    (tmp_path / "chat_template.json").write_text("{", encoding="utf-8")
    with pytest.raises(ChatTemplateError, match="not readable"):
        load_chat_template(tmp_path, bpe)
    (tmp_path / "chat_template.json").unlink()
    config = {"chat_template": 3}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ChatTemplateError, match="is no text"):
        load_chat_template(tmp_path, bpe)
