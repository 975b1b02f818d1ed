"""What every test of the repository may use: fixtures, shared material, a tiny model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden fixtures, one sub-folder a family (see its README.md)."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """Folder of real tokenizers, texts and models; the test skips where it is absent."""
    folder = ROOT.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip(f"needs the real tokenizers and models of {folder}, which is absent")
    return folder


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tokenizer with one token a byte (vocabulary 256) and no special tokens."""
    import tokenizers

    characters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(characters)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(False, use_regex=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    folder = tmp_path_factory.mktemp("byte_tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def tiny_model(
    golden: Path, byte_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a random Llama (GQA, vocabulary 256) with the tokenizer of `byte_tokenizer`."""
    folder = tmp_path_factory.mktemp("tiny_model")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    shutil.copy(byte_tokenizer / "tokenizer.json", folder)
    return folder
