"""Tokenizers and chat templates of llm-data, beside transformers reading the same folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers")

from llm_data.chat_template import encode_prompt, from_messages, load_chat_template  # noqa: E402
from llm_data.tokenizer import load_tokenizer  # noqa: E402
from llm_data.train_tokenizer.options import TrainTokenizerOptions  # noqa: E402
from llm_data.train_tokenizer.run import train_tokenizer  # noqa: E402

TEXTS = ["def f(x):\n\treturn x", " leading", "naïve 你好 🚀", "a  b\n\n  c", "12345 <s>", ""]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}\n"
    "  {% if message['role'] == 'system' %}\n"
    "<|im_start|>system {{ message['content'] | trim }}<|im_end|>\n"
    "  {% else %}\n"
    "<|im_start|>{{ message['role'] }}:{{ message['content'] }}<|im_end|>\n"
    "  {% endif %}\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that we trained, LLaMA style, with a chat template."""
    path = tmp_path_factory.mktemp("data") / "tokenizer"
    train_tokenizer(
        TrainTokenizerOptions(
            input_path=[argparse.__file__],
            output_path=str(path),
            data_format="TEXT",
            vocab_size=700,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
            additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        )
    )
    config = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["chat_template"] = TEMPLATE
    (path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("loader", ["PreTrainedTokenizerFast", "AutoTokenizer"])
def test_a_trained_tokenizer_is_the_same_there(folder: Path, loader: str) -> None:
    theirs = getattr(transformers, loader).from_pretrained(folder)
    ours = load_tokenizer(folder)
    assert len(theirs) == ours.vocab_size
    for role in ("bos", "eos", "pad"):
        assert getattr(theirs, f"{role}_token_id") == getattr(ours, f"{role}_token_id")
    for text in TEXTS:
        assert theirs(text).input_ids == ours.encode(text, True, parse_special=True)
        plain = theirs(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert plain == ours.encode(text)
        assert theirs.decode(plain) == ours.decode(plain) == text


@pytest.mark.parametrize(
    "messages",
    [
        [("user", "hi")],
        [("system", " Be brief. "), ("user", "a"), ("assistant", "b"), ("user", "c\nd")],
    ],
)
def test_chat_prompts_are_the_same(folder: Path, messages: list[tuple[str, str]]) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = load_tokenizer(folder)
    template = load_chat_template(None, ours)
    assert template is not None
    listed: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in messages]
    expected = theirs.apply_chat_template(listed, add_generation_prompt=True)
    assert encode_prompt(template, from_messages(listed), ours) == expected


@pytest.mark.parametrize("legacy", [False, True])
def test_sentencepiece_ids_are_llamas(tmp_path: Path, legacy: bool) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        input=argparse.__file__,
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=500,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    config = {"tokenizer_class": "LlamaTokenizer", "legacy": legacy, "bos_token": "<s>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    ours = load_tokenizer(tmp_path)
    theirs = transformers.LlamaTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert theirs(text).input_ids == ours.encode(text, True, parse_special=True), text
