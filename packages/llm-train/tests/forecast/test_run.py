"""`llm train plan` on a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_train.forecast.options import PlanOptions
from llm_train.forecast.run import plan


def options(golden: Path, **changes: object) -> PlanOptions:
    return PlanOptions(
        model_name_or_path=str(golden / "llama_v2_gqa"), output_dir="o", stage="pretrain",
        max_seq_length=256, per_device_train_batch_size=64, **changes,
    )  # fmt: skip


def test_a_run_that_fits(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(options(golden)) == 0
    said = capsys.readouterr().out
    assert "activations" in said
    assert "tokens a second, at the pace just measured" in said


def test_a_run_that_does_not_is_told_what_would(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(options(golden, memory_gb=0.8)) == 1
    assert "--per_device_train_batch_size" in capsys.readouterr().out
    assert plan(options(golden, memory_gb=0.1)) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "No smaller batch fits. Use a smaller model, or more machines" in said
