"""Samples of a supervised run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_data.tokenizer import Tokenizer
from llm_train.errors import RecipeError
from llm_train.sft.data import supervised_data
from llm_train.sft.options import SftOptions

MODEL = Path(__file__).parents[4] / "tests" / "golden" / "llama_v2_gqa"


class Letters:
    """A tokenizer of single letters; 0 ends and fills."""

    path = Path("letters")
    vocab_size = 27
    bos_token_id = None
    eos_token_id = 0
    pad_token_id = 0
    special_tokens: dict[str, int] = {"</s>": 0}  # noqa: RUF012 - a stand-in for an instance's

    def encode(self, text: str, add_special_tokens: bool = False, **_: Any) -> list[int]:
        """a is 1."""
        return [ord(letter) - 96 for letter in text]

    def decode(self, ids: list[int], **_: Any) -> str:
        """1 is a, 0 is nothing."""
        return "".join(chr(96 + number) for number in ids if number)


@pytest.fixture
def tokenizer() -> Tokenizer:
    letters: Any = Letters()
    return letters


def options(folder: Path | None, **changes: Any) -> SftOptions:
    return SftOptions(
        model_name_or_path=str(MODEL),
        output_dir="o",
        dataset_name_or_path=str(folder) if folder else None,
        src_length=6,
        max_length=12,
        chat_template="none",
        **changes,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("train", [("ab", "c"), ("abc", "de"), ("a", "b")]), ("dev", [("b", "cd")])):
        lines = [json.dumps({"src": src, "tgt": tgt}) for src, tgt in rows]
        (tmp_path / f"{name}.json").write_text("\n".join(lines))
    return tmp_path


def test_questions_are_not_learnt(folder: Path, tokenizer: Tokenizer) -> None:
    settings = options(folder)
    data = supervised_data(settings, settings, tokenizer)
    batch = data.collate([data.train[0], data.train[1]])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0, 0], [1, 2, 3, 4, 5]]
    assert batch["labels"].tolist() == [[-100, 3, 0, -100, -100], [-100, -100, 4, 5, 0]]
    assert (data.valid, data.test, data.epoch_samples, data.shuffle) == (None, None, 3, True)


def test_held_out_samples_where_they_are_evaluated(folder: Path, tokenizer: Tokenizer) -> None:
    settings = options(folder, do_eval=True)
    data = supervised_data(settings, settings, tokenizer)
    assert data.valid is not None
    assert data.valid[0]["input_ids"].tolist() == [2, 3, 4]


def test_packed_rows_keep_their_samples_apart(folder: Path, tokenizer: Tokenizer) -> None:
    settings = options(folder, zero_padding=True, pad_to_multiple_of=4)
    data = supervised_data(settings, settings, tokenizer)
    assert len(data.train) == 1
    batch = data.collate([data.train[0]])
    assert batch["input_ids"].shape == (1, 12)
    assert np.unique(batch["segment_ids"][0, :10]).tolist() == [1, 2, 3]
    assert batch["position_ids"][0, :10].tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1]


class Blanks(Letters):
    """Letters that put nothing around a question, with the tokens of a blank."""

    vocab_size = 33
    special_tokens: dict[str, int] = {  # noqa: RUF012
        "</s>": 0, "[MASK]": 30, "<|startofpiece|>": 31, "<|endofpiece|>": 32,
    }  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
def test_a_model_with_a_prefix_mask_is_given_blanks(folder: Path, packed: bool) -> None:
    letters: Any = Blanks()
    settings = options(folder, zero_padding=packed, do_eval=True)
    settings.model_name_or_path = str(MODEL.parent / "glm")
    data = supervised_data(settings, settings, letters)
    batch = data.collate([data.train[0]])
    assert batch["input_ids"][0, :5].tolist() == [1, 2, 30, 31, 3]
    assert batch["labels"][0, :5].tolist() == [-100, -100, -100, 3, 32]
    assert batch["position_ids"][0, :5].tolist() == [0, 1, 2, 2, 2]
    assert batch["block_position_ids"][0, :5].tolist() == [0, 0, 0, 1, 2]
    assert batch["context"][0, :5].tolist() == [1, 1, 1, 0, 0]
    assert ("segment_ids" in batch) == packed
    if packed:
        assert len(data.train) == 2
        assert max(data.train[row]["input_ids"].size for row in (0, 1)) <= 12
    assert data.valid is not None
    assert data.valid[0]["input_ids"].tolist() == [2, 30, 31, 3, 4]


def test_a_model_with_a_prefix_mask_needs_its_tokens(folder: Path, tokenizer: Tokenizer) -> None:
    settings = options(folder)
    settings.model_name_or_path = str(MODEL.parent / "glm")
    with pytest.raises(RecipeError, match="--tokenizer_name_or_path"):
        supervised_data(settings, settings, tokenizer)


def test_a_data_set_must_be_named(tokenizer: Tokenizer) -> None:
    settings = options(None)
    with pytest.raises(RecipeError, match="--dataset_name_or_path"):
        supervised_data(settings, settings, tokenizer)
