"""Calibration samples out of pretraining data; SFT lines are covered by the command's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_data.indexed import IndexedDataset
from llm_quant.errors import CalibrationError
from llm_quant.layerwise.calibration import check_vocabulary, pretrain_samples


def test_windows_of_the_training_documents_by_seed(corpus: Path) -> None:
    first = pretrain_samples(str(corpus), "80,20,0", 32, 10, seed=1)
    again = pretrain_samples(str(corpus), "80,20,0", 32, 10, seed=1)
    other = pretrain_samples(str(corpus), "80,20,0", 32, 10, seed=2)
    assert [sample.shape for sample in first] == [(32,)] * 10
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))
    data = IndexedDataset(corpus / "tokens")
    training = data.tokens[: data.offset(48)].tobytes()
    assert all(sample.astype(np.uint16).tobytes() in training for sample in first)


def test_a_split_without_training_documents(corpus: Path) -> None:
    with pytest.raises(CalibrationError, match="--split 0,1,0 leaves no training documents"):
        pretrain_samples(str(corpus), "0,1,0", 32, 4, seed=0)


def test_tokens_beyond_the_vocabulary() -> None:
    check_vocabulary([np.array([1, 95])], 96)
    with pytest.raises(CalibrationError, match="token 96 but the model knows 96"):
        check_vocabulary([np.array([1, 2]), np.array([96])], 96)
