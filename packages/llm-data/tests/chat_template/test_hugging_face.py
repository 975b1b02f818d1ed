"""HF Jinja templates: rounds found by rendering growing beginnings."""

from __future__ import annotations

import pytest

from llm_data.chat_template import from_messages, from_rounds
from llm_data.chat_template.hugging_face import HuggingFaceTemplate
from llm_data.errors import ChatTemplateError

LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}<<{{ message['content'] }}>>"
    "{% elif message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] "
    "+ ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


def test_rounds() -> None:
    template = HuggingFaceTemplate(LLAMA2, "t", SPECIAL)
    conversation = from_rounds(["a", "b"], ["c", "d"], system="S")
    parts = template.render(conversation, is_training=True)
    assert parts.system == ""
    assert parts.rounds == (
        ("<<S>><s>[INST] a [/INST]", " c </s>"),
        ("<s>[INST] b [/INST]", " d </s>"),
    )


def test_question_gets_the_generation_prompt() -> None:
    text = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    template = HuggingFaceTemplate(text, "t", {})
    parts = template.render(from_rounds(["a", "b"], ["c"]), is_training=False)
    assert parts.rounds == (
        ("<user>a\n<assistant>", "c\n"),
        ("<user>b\n<assistant>", None),
    )


def test_the_mark_around_an_answer_is_its_content() -> None:
    text = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!"
        "{% endgeneration %}{% else %}<{{ m.content }}>{% endif %}{% endfor %}"
    )
    template = HuggingFaceTemplate(text, "t", {})
    assert template.render(from_rounds(["a"], ["b"]), is_training=True).rounds == (("<a>", "b!"),)


def test_tools_and_further_fields_are_handed_over() -> None:
    text = (
        "{{ tools | tojson }}{% for m in messages %}|{{ m.role }}:{{ m.content }}"
        "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}{% endfor %}"
    )
    template = HuggingFaceTemplate(text, "t", {})
    conversation = from_messages(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": None, "tool_calls": [{"name": "f<b>"}]},
            {"role": "tool", "content": "r"},
            {"role": "assistant", "content": "b"},
        ],
        tools=[{"name": "f"}],
    )
    parts = template.render(conversation, is_training=True)
    assert parts.rounds == (
        ('[{"name": "f"}]|user:a', '|assistant:[{"name": "f<b>"}]'),
        ("|tool:r", "|assistant:b"),
    )


def test_template_that_rewrites_the_past_is_refused() -> None:
    text = "{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}"
    template = HuggingFaceTemplate(text, "t", {})
    with pytest.raises(ChatTemplateError, match="rewrites earlier text"):
        template.render(from_rounds(["a"], ["b"]), is_training=True)


def test_raise_exception_and_syntax() -> None:
    template = HuggingFaceTemplate("{{ raise_exception('no system') }}", "t", {})
    with pytest.raises(ChatTemplateError, match="refuses the conversation: no system"):
        template.render(from_rounds(["a"], []), is_training=False)
    with pytest.raises(ChatTemplateError, match="not valid Jinja"):
        HuggingFaceTemplate("{% if %}", "t", {})
