"""Shares are of the right whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_data.check.findings import Finding, Limits, examine
from llm_data.sft import SftDataset
from llm_data.tokenizer import Tokenizer


def test_shares(bpe: Tokenizer, tmp_path: Path) -> None:
    records = [{"src": "a", "tgt": "b"}] * 3 + [{"src": "c", "tgt": "d"}, {"src": "e"}]
    path = tmp_path / "a.json"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    data = SftDataset(path, bpe, src_length=4, max_length=12)
    found = {
        item.name: item
        for item in examine(
            data, Limits(0.2, 0, 0, 0.49), batch_size=2, train_digests=np.unique(data.digests)[:1]
        )
    }
    assert found["dropped"].share == pytest.approx(1 / 5)
    assert not found["dropped"].failed
    assert found["repeat an earlier sample"].count == 2
    assert found["repeat an earlier sample"].failed
    assert found["are in train too"].count in (1, 3)
    # Four samples of two tokens in one row of twelve.
    assert found["filling when packed"].share == pytest.approx(1 - 8 / 12)
    assert found["filling in batches of 2"].share == 0
    assert not Finding("x", 1, 1.0).failed
