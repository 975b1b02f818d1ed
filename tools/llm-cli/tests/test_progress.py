"""Progress as plain lines."""

from __future__ import annotations

import time

import pytest

from llm_cli import progress as module
from llm_cli.progress import clock, progress, scaled


def test_lines_say_share_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress("pretrain", total=400, unit="tokens") as bar:
        bar.resume_at(100)
        now[0] += 10
        bar.note("loss 3.2")
        bar.advance(100)
    lines = capsys.readouterr().err.splitlines()
    assert "pretrain: 200 tokens of 400 tokens (50 %), 10 tokens/s, 0:20 left, loss 3.2" in lines
    assert lines[-1].endswith("took 0:10")


def test_quantities_are_readable() -> None:
    assert scaled(1_234_567, "B") == "1.2 MB"
    assert scaled(12, "B") == "12 B"
    assert scaled(1234.5, "tokens") == "1,234 tokens"
    assert (clock(75), clock(3700)) == ("1:15", "1:01:40")
