"""metrics.jsonl and the progress line."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_cli.progress import PlainProgress
from llm_kernels.families import detect, read_sizes
from llm_train.loop.flops import Work
from llm_train.loop.watch import Watch, read_metrics


def bar() -> PlainProgress:
    return PlainProgress("train", 10, "steps")


def test_lines_of_training_and_evaluation(tmp_path: Path) -> None:
    shown = bar()
    watch = Watch(tmp_path, shown, 0)
    for _ in range(2):
        watch.stepped(30, 1.5)
    watch.trained(2, 0.25, 0.125)
    watch.evaluated(2, {"eval_loss": 1.25}, 3.0)
    first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert (first["step"], first["loss"], first["tokens"]) == (2, 1.5, 60)
    assert first["learning_rate"] == 0.25
    assert first["tokens_per_s"] > 0
    assert first["memory_mb"] > 10
    assert second == {"step": 2, "eval_loss": 1.25}
    assert shown.done == 2
    assert "loss 1.500" in shown.remark
    assert "held out 1.250" in shown.remark


def test_the_first_step_does_not_count_for_the_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("llm_train.loop.watch.time", SimpleNamespace(monotonic=lambda: now[0]))
    watch = Watch(tmp_path, bar(), 0)
    assert (watch.speed, watch.length) == (0.0, None)
    for seconds, paused in ((9.0, 0.0), (2.0, 5.0), (2.0, 0.0)):
        now[0] += seconds + paused
        watch.paused(paused)
        watch.stepped(30, 1.5, samples=2)
        if now[0] == 9.0:
            assert watch.speed == pytest.approx(30 / 9)
    now[0] += 100.0
    assert watch.speed == pytest.approx(60 / 4)
    assert watch.length == 15.0


def test_the_share_of_the_peak_is_never_above_one(tmp_path: Path, golden: Path) -> None:
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    spec = detect(config)
    watch = Watch(tmp_path, bar(), 0)
    watch.work = Work(spec, read_sizes(spec, config), peak=1.0)
    watch.stepped(30, 1.5, samples=2)
    watch.trained(1, 0.25, 0.125)
    assert 0 < read_metrics(watch.path)[0]["mfu"] <= 1
    assert "% of a large product's speed" in watch.bar.remark


def test_a_resumed_run_drops_what_lies_beyond_its_checkpoint(tmp_path: Path) -> None:
    rows = [{"step": s, "loss": 1.0, "tokens": 10 * s, "elapsed": float(s)} for s in (1, 2, 3, 4)]
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 5, "lo'
    (tmp_path / "metrics.jsonl").write_text(text)
    watch = Watch(tmp_path, bar(), 2, {"tokens": 20, "elapsed": 2.0})
    assert [row["step"] for row in read_metrics(watch.path)] == [1, 2]
    assert watch.tokens == 20
    assert watch.state()["elapsed"] >= 2.0
    assert watch.bar.done == 2


def test_a_new_run_starts_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 9, "loss": 1.0}\n')
    assert read_metrics(Watch(tmp_path, bar(), 0).path) == []


def test_a_resumed_line_has_the_steps_before_the_checkpoint(tmp_path: Path) -> None:
    first = Watch(tmp_path, bar(), 0)
    first.stepped(10, 4.0)
    first.stepped(10, 1.0)
    resumed = Watch(tmp_path, bar(), 2, first.state())
    resumed.stepped(10, 1.0)
    resumed.trained(3, 0.1, 0.5)
    (row,) = read_metrics(resumed.path)
    assert (row["loss"], row["tokens"]) == (2.0, 30)
