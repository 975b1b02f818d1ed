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
        model_name_or_path="m",
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


def test_a_data_set_must_be_named(tokenizer: Tokenizer) -> None:
    settings = options(None)
    with pytest.raises(RecipeError, match="--dataset_name_or_path"):
        supervised_data(settings, settings, tokenizer)
