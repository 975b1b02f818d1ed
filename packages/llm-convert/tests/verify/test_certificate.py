"""The certificate of a written model, against logits computed here."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_convert.errors import ConvertError
from llm_convert.model import Model, open_model, save_model
from llm_convert.verify import certificate as room
from llm_convert.verify.certificate import certified, certify, said
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward


def damaged(source: Model, folder: Path, value: float) -> Path:
    """A copy whose first norm has one element of `value`."""

    def weight(key: ParameterKey) -> np.ndarray:
        array = source.dense(key)
        if key == ParameterKey("attn_norm", 0):
            array = array.copy()
            array[3] = value
        return array

    folder.mkdir()
    save_model(
        folder,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=weight,
        naming="hf",
    )
    return folder


def test_against_logits_of_our_own(golden: Path, tmp_path: Path) -> None:
    source = open_model(golden / "llama_v1")
    result = open_model(damaged(source, tmp_path / "x", 30.0))
    found = certify(source, result, tokens=20, seed=5)
    ids = np.random.default_rng(5).integers(0, source.sizes.vocab, 20)
    one, other = (forward(m.spec, m.sizes, m.weight, ids) for m in (source, result))
    assert found.max_abs_diff == pytest.approx(np.abs(one - other).max())
    assert found.max_abs_logit == pytest.approx(np.abs(one).max())
    assert found.top1_agreement == pytest.approx((one.argmax(-1) == other.argmax(-1)).mean())
    assert found.mean_kl > 1e-4
    assert (found.tokens, found.seed) == (20, 5)
    assert "20 random tokens" in said(found)


@pytest.mark.parametrize("family", ["chatglm", "glm", "qwen2_moe"])
def test_two_positions_and_experts(golden: Path, family: str) -> None:
    source = open_model(golden / family)
    assert certify(source, open_model(golden / family), tokens=9).max_abs_diff == 0


def test_large_models_only_when_asked_for(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(golden / "opt", tmp_path / "x")
    source = open_model(golden / "opt")
    monkeypatch.setattr(room, "LIMIT", 1000)
    assert certified(source, tmp_path / "x") is None
    assert not (tmp_path / "x" / "certificate.json").exists()
    assert certified(source, tmp_path / "x", wanted=False, max_kl=1.0) is None
    assert certified(source, tmp_path / "x", max_kl=1.0) is not None
    certificate = certified(source, tmp_path / "x", wanted=True)
    assert certificate is not None
    content = json.loads((tmp_path / "x" / "certificate.json").read_text())
    assert content == certificate.content()


def test_what_is_not_finite_is_told_and_passes_no_gate(
    golden: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_model(golden / "llama_v1")
    folder = damaged(source, tmp_path / "x", np.inf)
    with np.errstate(all="ignore"):
        with pytest.raises(ConvertError, match="nan nats"):
            certified(source, folder, max_kl=1e9)
        assert not (folder / "certificate.json").exists()
        with caplog.at_level(logging.WARNING):
            certified(source, folder)
    assert "not finite" in caplog.text
    assert json.loads((folder / "certificate.json").read_text())["mean_kl"] is None
