"""Tables of counts."""

from __future__ import annotations

import pytest

from llm_data.count_table import count_table


def test_a_column_without_places_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    count_table("Found", [("documents", 1234, ""), ("tokens", 5, "")])
    out = capsys.readouterr().out
    assert "1,234" in out
    assert "where" not in out
    count_table("Found", [("documents", 1234, ""), ("dropped", 5, "a:3")])
    out = capsys.readouterr().out
    assert "where" in out
    assert "a:3" in out
