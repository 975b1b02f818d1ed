"""A base to adapt: the golden Llama with a tokenizer of one id a byte, and questions to learn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.model import Model, open_model, save_model
from llm_kernels.families import ParameterKey

END_OF_TEXT = 2


def byte_level_alphabet() -> list[str]:
    """The character that byte-level tokenizers write for each byte (GPT-2's table)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def write_tokenizer(folder: Path) -> None:
    """One id a byte; the id 2, which no text holds, ends an answer."""
    characters = byte_level_alphabet()
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    level["trim_offsets"] = True
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": level,
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": {character: byte for byte, character in enumerate(characters)},
            "merges": [],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    config = {"eos_token": characters[END_OF_TEXT]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def base_folder(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden Llama (grouped KV heads) with a tokenizer."""
    folder = tmp_path_factory.mktemp("base") / "llama"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def base(base_folder: Path) -> Model:
    """The model in `base_folder`."""
    return open_model(base_folder)


@pytest.fixture(scope="session")
def another_base(base: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of the shapes of `base` with other weights, and the same tokenizer."""
    folder = tmp_path_factory.mktemp("another") / "llama"
    folder.mkdir()
    random = np.random.default_rng(5)

    def weight(key: ParameterKey) -> np.ndarray:
        dense = base.dense(key)
        noise = random.standard_normal(dense.shape).astype(np.float32)
        return dense.mean() + dense.std() * noise

    save_model(
        folder,
        config=base.config,
        spec=base.spec,
        sizes=base.sizes,
        parameters=weight,
        naming="hf",
    )
    write_tokenizer(folder)
    return open_model(folder)


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight questions with their answers; two of them are held out as well."""
    folder = tmp_path_factory.mktemp("questions")
    animals = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
    lines = [json.dumps({"src": f"{name}?", "tgt": name[::-1] * 2}) for name in animals]
    (folder / "train.json").write_text("\n".join(lines) + "\n")
    (folder / "dev.json").write_text("\n".join(lines[:2]) + "\n")
    return folder


@pytest.fixture
def random_pairs() -> Callable[..., dict[ParameterKey, tuple[np.ndarray, np.ndarray]]]:
    """Make adapters of random numbers that move a model's answers."""

    def make(model: Model, keys: list[ParameterKey], rank: int, **settings: Any) -> dict:
        random = np.random.default_rng(settings.get("seed", 11))
        pairs = {}
        for key in keys:
            outputs, inputs = model.parameters[key]
            a = random.standard_normal((inputs, rank)) / np.sqrt(inputs)
            b = random.standard_normal((rank, outputs)) * 0.3
            pairs[key] = (a.astype(np.float32), b.astype(np.float32))
        return pairs

    return make


@pytest.fixture(scope="session")
def golden_prompts() -> Callable[[Path], list[tuple[np.ndarray, np.ndarray]]]:
    """The prompts of a golden adapter without their padding, each with PEFT's logits [T, V]."""

    def read(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
        fixture = np.load(folder / "golden.npz")
        rows = zip(
            fixture["input_ids"], fixture["logits"], fixture["attention_mask"] == 1, strict=True
        )
        return [(ids[real], logits[real]) for ids, logits, real in rows]

    return read
