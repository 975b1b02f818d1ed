"""The tokenizer of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_data.errors import TokenizerError
from llm_train.errors import RecipeError
from llm_train.model import SpecForCausalLM, build_model
from llm_train.tokenizer import optional_tokenizer, run_tokenizer
from llm_train.training_options import TrainingOptions

WORDS = ["<s>", "</s>", *"abcdefgh"]


def write_tokenizer(folder: Path, words: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    special = [
        {"id": i, "content": w, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, w in enumerate(words[:2])
    ]  # fmt: skip
    model = {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "a"}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": special,
                "normalizer": None,
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": None,
                "decoder": None,
                "model": model,
            }
        )
    )
    (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}')
    return folder


@pytest.fixture
def model(config_folder: Path) -> SpecForCausalLM:
    return build_model(config_folder, continue_training=False)


def options(config: Path, tokenizer: Path | None) -> TrainingOptions:
    return TrainingOptions(
        model_name_or_path=str(config),
        tokenizer_name_or_path=str(tokenizer) if tokenizer else None,
        output_dir="o",
    )


def test_the_models_config_states_the_special_ids(
    model: SpecForCausalLM, config_folder: Path, tmp_path: Path
) -> None:
    home = write_tokenizer(tmp_path / "t", WORDS)
    assert run_tokenizer(options(config_folder, home), model).vocab_size == 10
    assert (model.source["bos_token_id"], model.source["eos_token_id"]) == (0, 1)


def test_more_ids_than_embeddings_are_refused(
    model: SpecForCausalLM, config_folder: Path, tmp_path: Path
) -> None:
    home = write_tokenizer(tmp_path / "t", [*WORDS, *(f"w{i}" for i in range(60))])
    with pytest.raises(RecipeError, match="has 70 ids, the model only 61"):
        run_tokenizer(options(config_folder, home), model)


def test_no_tokenizer_is_said_or_refused(
    model: SpecForCausalLM, config_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert optional_tokenizer(options(config_folder, None), model) is None
    assert "will have none either" in caplog.text
    with pytest.raises(TokenizerError):
        run_tokenizer(options(config_folder, None), model)


def test_one_that_was_named_must_be_there(
    model: SpecForCausalLM, config_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(TokenizerError):
        optional_tokenizer(options(config_folder, tmp_path), model)
