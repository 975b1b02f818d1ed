"""Small models and token files that the tests of llm-quant share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from llm_convert.saving import save_model
from llm_data.indexed import IndexedWriter
from llm_kernels.families import ParameterKey, detect, parameters, read_sizes

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}


def write_llama(folder: Path, dtype: str = "float32", seed: int = 0) -> Path:
    """A Llama with random weights in `folder`; every linear's input is a multiple of 32."""
    folder.mkdir(parents=True)
    spec = detect(CONFIG)
    sizes = read_sizes(spec, CONFIG)
    rng = np.random.default_rng(seed)
    arrays: dict[ParameterKey, np.ndarray] = {}
    for key, shape in parameters(spec, sizes).items():
        spread = rng.standard_normal(shape).astype(np.float32)
        arrays[key] = 1 + 0.1 * spread if len(shape) == 1 else spread / np.sqrt(shape[-1])
    save_model(
        folder,
        config=CONFIG,
        spec=spec,
        sizes=sizes,
        parameters=arrays.__getitem__,
        naming="hf",
        dtype=dtype,
    )
    write_tokenizer(folder)
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}\n')
    return folder


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of 96 words, w0 to w93 between <s> and </s>, as Hugging Face's files."""
    words = {"<s>": 0, **{f"w{i}": i + 1 for i in range(94)}, "</s>": 95}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))


def write_lines(path: Path, count: int, seed: int) -> None:
    """`count` lines {"src", "tgt"} of random words, of different lengths."""
    rng = np.random.default_rng(seed)

    def words(most: int) -> str:
        return " ".join(f"w{i}" for i in rng.integers(0, 94, rng.integers(2, most)))

    lines = [json.dumps({"src": words(20), "tgt": words(12)}) for _ in range(count)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.json and dev.json of 12 lines each."""
    folder = tmp_path_factory.mktemp("dialogues")
    write_lines(folder / "train.json", 12, seed=1)
    write_lines(folder / "dev.json", 12, seed=2)
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 Llama with random weights; not to be changed."""
    return write_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def llama_bfloat16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of model stored in bfloat16."""
    return write_llama(tmp_path_factory.mktemp("models") / "llama", "bfloat16", seed=1)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 documents of random tokens below 96 in .bin/.idx."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(8)
    with IndexedWriter(folder / "tokens", np.uint16) as writer:
        for length in rng.integers(10, 80, 60):
            writer.add_document(rng.integers(0, 96, length))
    return folder
