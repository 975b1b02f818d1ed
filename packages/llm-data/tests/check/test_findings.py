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
    assert found["have no trained token"].count == 0
    assert found["repeat an earlier sample"].count == 2
    assert found["repeat an earlier sample"].failed
    assert found["are in train too"].count in (1, 3)
    # Four samples of two tokens in one row of twelve.
    assert found["filling when packed"].share == pytest.approx(1 - 8 / 12)
    assert found["filling in batches of 2"].share == 0
    assert found["filling in rows of 12"].share == pytest.approx(1 - 8 / 48)
    assert not Finding("x", 1, 1.0).failed


def test_records_without_a_trained_token_are_told_apart(bpe: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    # The round that is learnt is the one that has to go.
    long = {"src": ["a " * 9, "b " * 9], "tgt": ["c", "d"], "label": [1, 0]}
    records = [long, {"src": "a", "tgt": "b"}]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    template = tmp_path / "t.json"
    parts = ["{{user}}", "{{bot}}<|im_end|>"]
    template.write_text(json.dumps({"conversation": parts, "query": "{{query}}"}))
    data = SftDataset(path, bpe, src_length=19, max_length=20, chat_template=template)
    limits = Limits(0, 1, 1, 1)
    found = {i.name: i for i in examine(data, limits, batch_size=1, train_digests=None)}
    assert found["have no trained token"].count == 1
    assert found["have no trained token"].failed
