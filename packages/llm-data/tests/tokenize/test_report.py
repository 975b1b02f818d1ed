"""The last word of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.sources import Position
from llm_data.tokenize.parts import Part
from llm_data.tokenize.report import report


def test_documents_tokens_and_what_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    end = Position()
    parts = [
        Part(0, 2, 30, 100, end, 9, 5, dropped={"no token": 1}, places={"no token": ["f:3"]}),
        Part(1, 1, 10, 100, end, 9, 1, dropped={"no token": 1}, places={"no token": ["f:9"]}),
    ]
    report(parts, np.dtype(np.uint16), Path("data/x"), (".bin", ".idx"), 2.0)
    out = "".join(capsys.readouterr().out.replace("\u2502", " ").split())
    for said in ("documents3", "sentences6", "tokens40", "dropped:notoken2f:3,f:9"):
        assert said in out
    assert "Wrotex.binandx.idxtodata(uint16)in2.0s" in out
