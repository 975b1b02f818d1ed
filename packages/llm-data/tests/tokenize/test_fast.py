"""The fast library: used only where its ids are equal, and never without a word."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.errors import TokenizerError
from llm_data.tokenize import fast
from llm_data.tokenize.fast import FastEncoder, FastRecipe, difference, fast_recipe, recipe_of
from llm_data.tokenize.probes import PROBES
from llm_data.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["def f(x):\n    return x", "", " 12345 \u4f60\u597d na\u00efve"]


class _Fake:
    """Stands for the library: right, wrong, or refusing."""

    def __init__(self, tokenizer: Tokenizer, wrong: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.wrong = wrong

    def encode(self, texts: list[str]) -> tuple[Any, Any]:
        ids = [[1] if text == self.wrong else self.tokenizer.encode(text) for text in texts]
        flat = np.asarray([i for row in ids for i in row], dtype=np.uint32)
        return flat, np.asarray([len(row) for row in ids])


def _with(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(fast, "FastEncoder", make)


def test_used_where_ids_are_equal(
    bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_data")
    _with(monkeypatch, lambda _: _Fake(bpe))
    recipe = fast_recipe(bpe, "auto", TEXTS)
    assert recipe is not None
    assert recipe.kind == "json"
    assert f"equal on {len(PROBES) + len(TEXTS)} sample texts" in caplog.text
    assert fast_recipe(bpe, "off", TEXTS) is None


def test_not_used_where_they_differ(
    bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_data")
    _with(monkeypatch, lambda _: _Fake(bpe, wrong=TEXTS[2]))
    assert fast_recipe(bpe, "auto", TEXTS) is None
    assert "not gigatoken: it gives other ids, for example for ' 12345" in caplog.text
    with pytest.raises(TokenizerError, match="require: gigatoken cannot be used, it gives other"):
        fast_recipe(bpe, "require", TEXTS)


def test_not_installed_or_unknown(
    bpe: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_data")
    with monkeypatch.context() as patch:
        patch.setitem(__import__("sys").modules, "gigatoken", None)
        assert fast_recipe(bpe, "auto", TEXTS) is None
        assert "gigatoken" not in caplog.text
        caplog.set_level(logging.DEBUG, "llm_data")
        assert fast_recipe(bpe, "auto", TEXTS) is None
    assert "pip install gigatoken" in caplog.text

    def refuse(_: FastRecipe) -> None:
        message = "unknown pre-tokenizer"
        raise ValueError(message)

    _with(monkeypatch, refuse)
    assert fast_recipe(bpe, "auto", TEXTS) is None
    assert "it does not open this tokenizer (unknown pre-tokenizer)" in caplog.text


def test_special_tokens_are_left_out_of_the_recipe(bpe: Tokenizer) -> None:
    recipe = recipe_of(bpe)
    assert recipe is not None
    assert '"special": true' not in recipe.source.lower()


def _ranks(folder: Path) -> Tokenizer:
    tokens = [*(bytes([byte]) for byte in range(256)), b"in", b" a", b"12", b"123"]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    (folder / "tokenizer.model").write_text("\n".join(lines), encoding="utf-8")
    return load_tokenizer(folder)


def test_ids_of_the_library_itself(bpe: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("gigatoken")
    pieces = [bpe, _ranks(tmp_path)]
    for tokenizer in pieces:
        recipe = recipe_of(tokenizer)
        assert recipe is not None
        texts = [*PROBES, *TEXTS, "a<|endoftext|><|im_start|>b"]
        assert difference(FastEncoder(recipe), tokenizer, texts) is None
        many = [*texts, *(f"line {number}" for number in range(300))]
        assert difference(FastEncoder(recipe), tokenizer, many) is None


def test_real_tokenizers_with_the_library(shared_real: Path) -> None:
    pytest.importorskip("gigatoken")
    texts = (shared_real / "text" / "tinyshakespeare.txt").read_text(encoding="utf-8")
    sample = [texts[start : start + 2000] for start in range(0, 100_000, 2000)]
    for name in ("gpt2", "qwen", "llama2"):
        tokenizer = load_tokenizer(shared_real / "tokenizers" / name)
        recipe = fast_recipe(tokenizer, "require", sample)
        assert recipe is not None
