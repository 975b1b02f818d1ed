"""The certificate of a written model, against logits computed here."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import mark_complete
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


def test_a_result_that_is_not_finite_is_refused(golden: Path, tmp_path: Path) -> None:
    source = open_model(golden / "llama_v1")
    folder = damaged(source, tmp_path / "x", np.inf)
    with pytest.raises(ConvertError, match=r"logits of the result are not finite.*bfloat16"):
        certified(source, folder)
    assert not (folder / "certificate.json").exists()


def overwritten(folder: Path) -> None:
    """Put 4000 bytes of no meaning into the middle of the weights."""
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)))


def test_damaged_weights_are_not_certified(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = damaged(open_model(golden / "llama_v1"), tmp_path / "source", 1.0)
    overwritten(source)
    words = ["convert", "--from-torch", str(source), "--output_path", str(tmp_path / "out")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"The logits of {source} itself are not finite: its files may be damaged" in said
    assert "it has no COMPLETE marker" in said
    assert not (tmp_path / "out").exists()


def test_the_damaged_file_is_named(golden: Path, tmp_path: Path) -> None:
    source = damaged(open_model(golden / "llama_v1"), tmp_path / "source", 1.0)
    mark_complete(source)
    overwritten(source)
    model = open_model(source)
    with pytest.raises(ConvertError, match=r"SHA-256 of model\.safetensors differs"):
        certify(model, model)


def test_damage_before_the_marker_is_told_as_such(golden: Path, tmp_path: Path) -> None:
    source = damaged(open_model(golden / "llama_v1"), tmp_path / "source", np.nan)
    mark_complete(source)
    model = open_model(source)
    with pytest.raises(ConvertError, match="it was written like this"):
        certify(model, model)
