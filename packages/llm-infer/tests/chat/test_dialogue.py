"""What a conversation asks the model, and what it keeps."""

from __future__ import annotations

import pytest

from llm_data.chat_template import load_chat_template
from llm_data.tokenizer import load_tokenizer
from llm_infer.chat.dialogue import Dialogue
from llm_infer.chat.options import ChatOptions
from llm_infer.engine import FinishReason
from llm_infer.errors import PromptTooLongError, UnsupportedError
from llm_infer.load import Backend, load_engine
from llm_infer.predict.prompts import PromptEncoder
from llm_infer.predict.session import Session

TEMPLATE = (
    '{"system": "[{{system}}]", "conversation": ["<{{user}}>", "{{bot}};"], "query": "<{{query}}>"}'
)


@pytest.fixture
def make(tiny_model, tmp_path):
    """A factory of dialogues over a real engine; every prompt is noted in `asked`."""
    (tmp_path / "chat_template.json").write_text(TEMPLATE)
    tokenizer = load_tokenizer(tiny_model)
    engine = load_engine(tiny_model, tokenizer=tokenizer, backend=Backend(threads=1))
    asked: list[str] = []

    class Noting(PromptEncoder):
        def conversation(self, conversation):
            ids = super().conversation(conversation)
            asked.append(self.tokenizer.decode(ids))
            return ids

    def build(src_length=200, system=None, template=True):
        options = ChatOptions(model_name_or_path="m", src_length=src_length, max_length=220)
        chosen = load_chat_template(str(tmp_path), tokenizer) if template else None
        prompts = Noting(tokenizer, chosen, src_length)
        return Dialogue(Session(options, engine, prompts, 220), system), asked

    yield build
    engine.close()


def test_rounds_become_the_next_prompt(make):
    dialogue, asked = make(system="Be kind")
    first = "".join(dialogue.ask("One"))
    assert dialogue.finish in (FinishReason.LENGTH, FinishReason.STOP)
    dialogue.reset()
    short = dialogue.ask("Two")
    pieces = [next(short) for _ in range(6)]
    short.close()
    assert dialogue.finish is FinishReason.ABORT
    list(dialogue.ask("Three"))
    assert asked[:2] == ["[Be kind]<One>", "[Be kind]<Two>"]
    assert asked[2] == f"[Be kind]<Two>{''.join(pieces)};<Three>"
    assert first


def test_the_first_rounds_are_left_out_when_it_is_too_long(make):
    dialogue, asked = make(src_length=40, system="s")
    for question in ("a" * 12, "b" * 12, "c" * 12):
        answer = dialogue.ask(question)
        next(answer)
        answer.close()
    assert dialogue.left_out >= 1
    assert asked[-1].startswith("[s]<b" if dialogue.left_out == 1 else "[s]<c")
    assert asked[-1].endswith("c>")
    with pytest.raises(PromptTooLongError):
        list(dialogue.ask("d" * 50))


def test_a_template_is_needed(make):
    with pytest.raises(UnsupportedError, match="no chat template"):
        make(template=False)
