"""What the tests of this package share: small tokenizers of both kinds, made on the spot."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from llm_data.tokenizer import Tokenizer, load_tokenizer
from llm_data.train_tokenizer.options import TrainTokenizerOptions
from llm_data.train_tokenizer.run import train_tokenizer

CHATML = {
    "system": "{{system | default('You are a helpful assistant.')}}",
    "conversation": [
        "\n<|im_start|>user\n{{user}}<|im_end|>\n<|im_start|>assistant\n",
        "{{bot}}<|im_end|>",
    ],
    "query": "\n<|im_start|>user\n{{query}}<|im_end|>\n<|im_start|>assistant\n",
}


@pytest.fixture(scope="session")
def bpe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a byte-level BPE tokenizer: V = 600, ids 0.. are EOS, <|im_start|>, <|im_end|>."""
    folder = tmp_path_factory.mktemp("bpe") / "tokenizer"
    train_tokenizer(
        TrainTokenizerOptions(
            input_path=[str(Path(argparse.__file__))],
            output_path=str(folder),
            data_format="TEXT",
            vocab_size=600,
            additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        )
    )
    return folder


@pytest.fixture(scope="session")
def bpe(bpe_folder: Path) -> Tokenizer:
    """The tokenizer in `bpe_folder`."""
    return load_tokenizer(bpe_folder)


@pytest.fixture(scope="session")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sentencepiece BPE tokenizer with byte fallback, as LLaMA has it."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        input=str(Path(argparse.__file__)),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=500,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    config = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True, "legacy": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture
def chatml(tmp_path: Path) -> Path:
    """A chat_template.json in ChatML."""
    path = tmp_path / "chat_template.json"
    path.write_text(json.dumps(CHATML), encoding="utf-8")
    return path
