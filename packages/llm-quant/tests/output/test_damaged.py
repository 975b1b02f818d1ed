"""Weights that hold no usable numbers: every command refuses them and writes nothing."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import mark_complete


@pytest.fixture
def damaged(llama: Path, tmp_path: Path) -> Path:
    """A model of which 4000 bytes were overwritten after its marker was made."""
    folder = tmp_path / "damaged"
    shutil.copytree(llama, folder)
    mark_complete(folder)
    file = folder / "model.safetensors"
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8)))
    return folder


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["gptq", "--gptq_step", "2", "--group_size", "32"], "weights"),
        (["weight-only", "--quant_type", "weight_only_int8"], "weights"),
        (["report", "--split", "1,1,0"], "logits"),
    ],
)
def test_damaged_weights_are_refused(
    damaged: Path,
    corpus: Path,
    tmp_path: Path,
    words: list[str],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ["quant", *words, "--model_name_or_path", str(damaged)]
    words += ["--output_file" if "report" in words else "--output_path", str(out)]
    if "weight-only" not in words:
        words += ["--input_dir", str(corpus)]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=RuntimeWarning)
        assert run(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"The {what} " in said
    assert f"of {damaged} itself are not finite: its files are damaged." in said
    assert "SHA-256 of model.safetensors differs from the one in COMPLETE." in said
    assert not out.exists()
