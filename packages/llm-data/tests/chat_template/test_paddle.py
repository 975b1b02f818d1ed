"""chat_template.json: rendering, checks, drift between training and inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_data.chat_template import from_messages, from_rounds, load_chat_template
from llm_data.chat_template.paddle import PaddleTemplate
from llm_data.errors import ChatTemplateError
from llm_data.tokenizer import Tokenizer

GOOD = {"conversation": ["U:{{user}} ", "B:{{bot}} "], "query": "U:{{query}} "}


def test_the_documented_example(chatml: Path, bpe: Tokenizer) -> None:
    template = load_chat_template(chatml, bpe)
    assert template is not None
    parts = template.render(from_rounds(["hi", "again"], ["yo"]), is_training=False)
    assert parts.system == "You are a helpful assistant."
    assert parts.rounds == (
        ("\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "yo<|im_end|>"),
        ("\n<|im_start|>user\nagain<|im_end|>\n<|im_start|>assistant\n", None),
    )


def test_every_variable_reaches_the_template() -> None:
    probe = "{{index}}{{is_first}}{{is_last}}{{length}}{{is_training}}{{k}}|"
    template = PaddleTemplate.from_object(
        {"conversation": ["{{user}}" + probe, "{{bot}}" + probe], "query": "{{query}}" + probe},
        "t",
    )
    asked = from_rounds(["a", "b"], ["c"], context={"k": 7})
    rounds = template.render(asked, is_training=True).rounds
    assert rounds == (
        ("a0TrueFalse2True7|", "c0TrueFalse2True7|"),
        ("b1FalseTrue2True7|", None),
    )
    assert asked.context == {"k": 7}, "rendering must not change the record"


def test_blocks_are_trimmed_and_the_last_newline_kept() -> None:
    content = {**GOOD, "query": "{% if true %}\nx\n  {% endif %}\n"}
    template = PaddleTemplate.from_object(content, "t")
    assert template.render(from_rounds(["q"], []), is_training=False).rounds == (("x\n", None),)


def test_sandbox() -> None:
    content = {**GOOD, "query": "{{ ''.__class__.__mro__ }}"}
    template = PaddleTemplate.from_object(content, "t")
    with pytest.raises(ChatTemplateError, match="refuses the conversation"):
        template.render(from_rounds(["q"], []), is_training=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conversation": ["one"]}, "exactly two texts"),
        ({"conversation": None}, "exactly two texts"),
        ({"query": None}, "`query`"),
        ({"system": 3}, "`system`"),
        ({"sytem": "x"}, "unknown fields"),
        ({"query": "{{ query "}, "not valid Jinja"),
    ],
)
def test_malformed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ChatTemplateError, match=message):
        PaddleTemplate.from_object({**GOOD, **change}, "t")


def test_what_the_format_cannot_say_is_refused() -> None:
    template = PaddleTemplate.from_object(GOOD, "t")
    with pytest.raises(ChatTemplateError, match="no place for the record's system text"):
        template.render(from_rounds(["a"], ["b"], system="s"), is_training=True)
    tool = from_messages([{"role": "tool", "content": "a"}, {"role": "assistant", "content": "b"}])
    with pytest.raises(ChatTemplateError, match="only user and assistant"):
        template.render(tool, is_training=True)


def test_drift(tmp_path: Path) -> None:
    assert PaddleTemplate.from_object(GOOD, "t").drift() is None
    drifted = PaddleTemplate.from_object({**GOOD, "query": "User: {{query}}"}, "t")
    assert drifted.drift() == ("U:How do you do? ", "User: How do you do?")


@pytest.mark.filterwarnings("ignore")
def test_the_same_text_as_paddlenlp(tmp_path: Path, chatml: Path, bpe: Tokenizer) -> None:
    module = pytest.importorskip("paddlenlp.transformers.tokenizer_utils", exc_type=ImportError)
    theirs = module.ChatTemplate.from_file(str(chatml))
    ours = load_chat_template(chatml, bpe)
    assert ours is not None
    context = {"system": "Be brief."}
    asked = from_rounds(["a", "b <x>"], ["c"], context=context)
    parts = ours.render(asked, is_training=False)
    text = parts.system + "".join(a + (b or "") for a, b in parts.rounds)
    expected = theirs([["a", "c"], ["b <x>"]], context_data={"is_training": False, **context})
    assert text == expected
    trained = theirs.render_conversation(["a", "c"], index=0, context_data={"is_training": True})
    assert list(ours.render(asked, is_training=True).rounds[0]) == trained
    assert json.loads(chatml.read_text(encoding="utf-8"))["query"] == theirs.query
