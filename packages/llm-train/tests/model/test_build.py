"""Models out of folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from llm_convert.errors import ConvertError
from llm_train.model import build_model


def test_a_checkpoints_weights_give_its_golden_logits(golden: Path) -> None:
    model = build_model(golden / "llama_v2_gqa")
    model.eval()
    with np.load(golden / "llama_v2_gqa" / "golden.npz") as stored, paddle.no_grad():
        logits = model(paddle.to_tensor(stored["prompt_0"].reshape(1, -1).astype(np.int64)))
        np.testing.assert_allclose(logits[0].numpy(), stored["logits_0"], atol=5e-5)


def test_new_weights_take_only_the_configuration(golden: Path) -> None:
    one, two, other = (
        build_model(golden / "llama_v2_gqa", continue_training=False, seed=seed)
        for seed in (1, 1, 2)
    )
    weights = [
        dict(model.decoder.named_parameters())["layers.0.q.weight"] for model in (one, two, other)
    ]
    assert np.array_equal(weights[0].numpy(), weights[1].numpy())
    assert not np.array_equal(weights[0].numpy(), weights[2].numpy())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="does not exist"):
        build_model(tmp_path / "nothing")


def test_weights_that_are_not_used_are_mentioned(
    golden: Path, config_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_model(config_folder, continue_training=False)
    build_model(golden / "llama_v2_gqa")
    assert caplog.text == ""
    build_model(golden / "llama_v2_gqa", continue_training=False, seed=8)
    assert "starts from new weights (seed 8)" in caplog.text


def test_what_training_does_not_follow_is_said_once(
    golden: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_model(golden / "opt")
    (record,) = caplog.records
    assert "dropout 0.1" in record.getMessage()
