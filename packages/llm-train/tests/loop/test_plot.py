"""The picture of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from llm_train.loop.plot import draw_losses


def test_both_losses_against_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"step": 0, "eval_loss": 4.0}, {"step": 5, "loss": 3.0}, {"step": 5, "eval_loss": 2.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures: list[Figure] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    picture = draw_losses(tmp_path, "llm train pretrain")
    assert picture is not None
    assert picture.read_bytes()[1:4] == b"PNG"
    (axis,) = figures[0].axes
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("optimizer step", "loss (nats a token)")
    drawn = {str(line.get_label()): line.get_xydata().tolist() for line in axis.get_lines()}
    assert drawn == {"training batches": [[5, 3.0]], "held out": [[0, 4.0], [5, 2.5]]}


@pytest.mark.parametrize(("points", "dotted"), [(1, True), (50, True), (51, False)])
def test_few_points_are_dots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, points: int, dotted: bool
) -> None:
    rows = [{"step": step, "loss": 3.0} for step in range(points)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures: list[Figure] = []
    monkeypatch.setattr(pyplot, "close", figures.append)
    draw_losses(tmp_path, "llm train pretrain")
    (line,) = figures[0].axes[0].get_lines()
    assert (line.get_marker() == "o") == dotted


def test_no_losses_no_picture(tmp_path: Path) -> None:
    assert draw_losses(tmp_path, "x") is None
