"""What is saved is what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from llm_data.chat_template import load_chat_template, save_chat_template
from llm_data.errors import ChatTemplateError
from llm_data.tokenizer import Tokenizer, load_tokenizer


def test_both_forms_come_back(bpe: Tokenizer, chatml: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    bpe.save(folder)
    tokenizer = load_tokenizer(folder)
    jinja = tmp_path / "t.jinja"
    jinja.write_text("{% for m in messages %}{{ m.content }}\n{% endfor %}", encoding="utf-8")
    for source in (chatml, jinja, chatml):
        template = load_chat_template(source, tokenizer)
        assert template is not None
        save_chat_template(template, folder)
        again = cast("Any", load_chat_template(None, tokenizer))
        assert type(again) is type(template)
        fields = ("text",) if source is jinja else ("system", "conversation", "query")
        assert [getattr(again, f) for f in fields] == [getattr(template, f) for f in fields]


def test_unknown_form(tmp_path: Path) -> None:
    class Other:
        name = "other"

    with pytest.raises(ChatTemplateError, match="its form is not known"):
        save_chat_template(cast("Any", Other()), tmp_path)
