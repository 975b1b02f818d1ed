"""Whether a run has room, said before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.forecast.forecast import forecast
from llm_train.forecast.room import advice, amount, check_room
from llm_train.pretrain.options import PretrainOptions
from llm_train.sft.options import SftOptions
from llm_train.training_options import TrainingOptions

GB = 10**9


def options(config_folder: Path, **changes: Any) -> PretrainOptions:
    base = {"max_seq_length": 100_000, "device": "cpu", "output_dir": "o"}
    return PretrainOptions(model_name_or_path=str(config_folder), **{**base, **changes})


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 16 GB, half of them free."""
    monkeypatch.setattr("llm_train.forecast.room.available", lambda: 8 * GB)
    monkeypatch.setattr("llm_train.forecast.room.total", lambda: 16 * GB)
    monkeypatch.delenv("PADDLE_TRAINER_ID", raising=False)


def need(made: TrainingOptions) -> int:
    config = json.loads((Path(made.model_name_or_path) / "config.json").read_text())
    return forecast(made, config, 1).memory.total


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (12, "12 B"), (999_600, "1 MB"), (1_500_000_000, "1.50 GB"),
        (53_977.36e9, "53.98 TB"), (2e18, "2000.00 PB"),
    ],
)  # fmt: skip
def test_amounts_have_a_sensible_unit(count: float, text: str) -> None:
    assert amount(count) == text


def test_a_length_far_beyond_the_machine_is_refused_with_one_that_fits(config_folder: Path) -> None:
    made = options(config_folder)
    with pytest.raises(RecipeError) as raised:
        check_room(made)
    said = str(raised.value)
    assert f"forecast to need {amount(need(made))}" in said
    assert "8 x 100,000 tokens; this machine has 16.00 GB" in said
    length = int(said.split("--max_seq_length (")[1].split()[0])
    fitting = {"per_device_train_batch_size": 1, "recompute": True}
    assert need(options(config_folder, max_seq_length=length, **fitting)) <= 16 * GB
    assert need(options(config_folder, max_seq_length=2 * length, **fitting)) > 16 * GB


def test_a_batch_that_can_be_cut_is_told_how(config_folder: Path) -> None:
    made = options(config_folder, max_seq_length=2000, per_device_train_batch_size=512)
    assert need(made) > 24 * GB
    with pytest.raises(RecipeError, match="This fits, with the same losses: --per_device_train"):
        check_room(made)


def test_what_might_fit_is_only_warned_of(
    config_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tight = options(config_folder, max_seq_length=2000, per_device_train_batch_size=48)
    assert 8 * GB < need(tight) < 24 * GB
    check_room(tight)
    assert "8.00 GB are free" in caplog.text
    caplog.clear()
    # Questions and answers are hardly ever as long as they may be.
    place = {"model_name_or_path": str(config_folder), "output_dir": "o", "device": "cpu"}
    check_room(SftOptions(**place, max_length=100_000, dataset_name_or_path="d"))
    assert "need up to" in caplog.text
    assert "--max_length" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [{"max_seq_length": 32}, {"device": "gpu"}, {"do_train": False, "do_eval": True}],
    ids=str,
)
def test_nothing_is_said_where_there_is_room_or_no_telling(
    config_folder: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    check_room(options(config_folder, **changes))
    assert caplog.text == ""


def test_a_model_that_is_too_large_is_no_matter_of_length(golden: Path) -> None:
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    said = advice(options(golden / "llama_v2_gqa"), config, 1, 10**6)
    assert "smaller model" in said
    assert "--max_seq_length" not in said
