"""Small tokenizers, trained by the libraries that they belong to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TEXT = [
    "The quick brown fox can't jump over 12345 lazy dogs, can it?",
    "  Two spaces,\ta tab and\n\na line; ünïcödé, 日本語 and 🙂👍🏽.",
    "def add(left, right):\n    return left + right  # 3.14",
    "they're we'LL I'd 7 77 777 7777",
]


@pytest.fixture
def byte_level(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with a byte-level tokenizer.json that cuts words as `pre` says."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    def make(pre: Any = None, **config: Any) -> Path:
        folder = tmp_path / "byte_level"
        folder.mkdir()
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(TEXT * 3, trainer)
        tokenizer.add_tokens(["<tool>"])
        tokenizer.save(str(folder / "tokenizer.json"))
        stated = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, **config}
        (folder / "tokenizer_config.json").write_text(json.dumps(stated))
        return folder

    return make


@pytest.fixture
def sentencepiece_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with the tokenizer.model that sentencepiece trains with some options."""

    def make(**options: Any) -> Path:
        import sentencepiece

        folder = tmp_path / "sentencepiece"
        folder.mkdir()
        settings = {
            "model_type": "bpe",
            "vocab_size": 400,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "user_defined_symbols": ["<tool>"],
            "character_coverage": 0.98,
            "minloglevel": 2,
        }
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT * 20),
            model_prefix=str(folder / "tokenizer"),
            **(settings | options),
        )
        (folder / "tokenizer.vocab").unlink()
        return folder

    return make
