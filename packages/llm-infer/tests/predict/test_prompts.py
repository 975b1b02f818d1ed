"""Records and texts to prompts: templates, lengths, cuts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from llm_data.chat_template import load_chat_template
from llm_data.tokenizer import load_tokenizer
from llm_infer.errors import DataFileError, PromptTooLongError
from llm_infer.predict.prompts import PromptEncoder, question

TEMPLATE = {
    "system": "S:{{system | default('none')}};",
    "conversation": ["U:{{user}};A:", "{{bot}};"],
    "query": "U:{{query}};A:",
}


@pytest.fixture
def plain(byte_tokenizer):
    return PromptEncoder(load_tokenizer(byte_tokenizer), None, 20)


@pytest.fixture
def chat(plain, tmp_path):
    (tmp_path / "chat_template.json").write_text(json.dumps(TEMPLATE))
    template = load_chat_template(tmp_path / "chat_template.json", plain.tokenizer)
    return replace(plain, template=template, src_length=200)


def text(encoder, ids):
    return encoder.tokenizer.decode(ids)


def test_without_a_template_the_text_stands_as_it_is(plain):
    assert text(plain, plain.text("hello é")) == "hello é"
    assert text(plain, plain.conversation(question({"src": "a", "tgt": "b"}))) == "a"


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        ({"src": "x", "tgt": "y"}, "S:none;U:x;A:"),
        ({"src": "x"}, "S:none;U:x;A:"),
        ({"src": ["a", "b"], "tgt": ["1", "2"]}, "S:none;U:a;A:1;U:b;A:"),
        ({"src": ["a", "b"], "tgt": ["1"]}, "S:none;U:a;A:1;U:b;A:"),
        ({"src": "x", "context": {"system": "be kind"}}, "S:be kind;U:x;A:"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": "1"},
                    {"role": "user", "content": "b"},
                    {"role": "assistant", "content": "2"},
                ]
            },
            "S:none;U:a;A:1;U:b;A:",
        ),
    ],
)
def test_records_become_questions(chat, record, prompt):
    assert text(chat, chat.conversation(question(record))) == prompt


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, "'src'"),
        ({"src": 3}, "src is neither"),
        ({"src": []}, "src is neither"),
        ({"src": ["a", "b"], "tgt": []}, "2 rounds, but tgt answers only 0"),
        ({"src": "a", "tgt": [1]}, "tgt is neither"),
        ({"src": "a", "context": 3}, "context"),
        ({"src": "a", "system": 3}, "system"),
        ({"messages": "a"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "wizard"),
    ],
)
def test_records_that_are_no_question(record, words):
    with pytest.raises(DataFileError, match=words):
        question(record)


def test_rounds_need_a_template(plain):
    with pytest.raises(DataFileError, match="--chat_template"):
        plain.conversation(question({"src": ["a", "b"], "tgt": ["1", "2"]}))


def test_long_prompts_are_refused_or_cut_where_asked(plain):
    long = "0123456789" * 3
    with pytest.raises(PromptTooLongError, match="30 tokens, but at most 20"):
        plain.text(long)
    assert text(plain, replace(plain, truncate="left").text(long)) == long[-20:]
    assert text(plain, replace(plain, truncate="right").text(long)) == long[:20]


def test_a_cut_from_the_left_keeps_what_the_tokenizer_puts_first(shared_real):
    tokenizer = load_tokenizer(shared_real / "models" / "stories260K-hf")
    whole = tokenizer.encode("Once upon a time there was", add_special_tokens=True)
    cut = PromptEncoder(tokenizer, None, 4, "left").text("Once upon a time there was")
    assert cut == [whole[0], *whole[-3:]]
    assert whole[0] == tokenizer.bos_token_id
