"""`llm convert --verify MODEL --golden FILE` over the families' recorded logits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.model import open_model, save_model

GOLDEN = Path(__file__).resolve().parents[4] / "tests" / "golden"
FAMILIES = sorted(path.parent.name for path in GOLDEN.glob("*/config.json"))


def verify(model: Path, golden: Path, decoder: str = "reference", tolerance: float = 1e-4) -> int:
    options = ConvertOptions(
        verify=str(model), golden=str(golden), decoder=decoder, tolerance=tolerance
    )
    return convert(options)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_agrees_with_its_original(
    family: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(GOLDEN / family, GOLDEN / family / "golden.npz") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "top-1 agreement 100.00%" in out
    assert re.search(r"Generated tokens \(\d+ after \d prompts\): equal\.", out)


@pytest.mark.parametrize("family", ["bloom", "chatglm", "glm", "llama_v3", "qwen", "qwen2_moe"])
def test_the_native_decoder_can_be_asked(family: str) -> None:
    assert verify(GOLDEN / family, GOLDEN / family / "golden.npz", "native") == 0


@pytest.mark.parametrize("family", ["glm", "gpt2", "mistral"])
def test_the_paddle_decoder_can_be_asked(family: str) -> None:
    pytest.importorskip("paddle")
    assert verify(GOLDEN / family, GOLDEN / family / "golden.npz", "paddle") == 0


def test_another_model_is_beyond_the_tolerance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One wrong element of one norm is found, and said with the largest difference."""
    source = open_model(GOLDEN / "llama_v1")

    def changed(key: object) -> np.ndarray:
        array = np.array(source.weight(key))  # type: ignore[arg-type]
        if str(getattr(key, "name", "")) == "layers.0.mlp_norm.weight":
            array[5] += 0.5
        return array

    save_model(
        tmp_path,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=changed,
        naming="hf",
    )
    golden = GOLDEN / "llama_v1" / "golden.npz"
    assert verify(tmp_path, golden) == 1
    out = " ".join(capsys.readouterr().out.split())
    found = re.search(r"differ by at most ([\d.e-]+)", out)
    assert found is not None
    assert float(found[1]) > 1e-3
    assert "DIFFER beyond the tolerance" in out
    assert verify(tmp_path, golden, tolerance=10.0) == 0


def test_other_generated_ids_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(np.load(GOLDEN / "opt" / "golden.npz"))
    arrays["generated"] = arrays["generated"].copy()
    arrays["generated"][0, 3] ^= 1
    np.savez(tmp_path / "x.npz", **arrays)
    assert verify(GOLDEN / "opt", tmp_path / "x.npz") == 1
    assert "not equal" in capsys.readouterr().out


def test_tokens_may_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = dict(np.load(GOLDEN / "opt" / "golden.npz"))
    np.savez(tmp_path / "x.npz", **{name: arrays[name] for name in ("prompt_1", "logits_1")})
    assert verify(GOLDEN / "opt", tmp_path / "x.npz") == 0
    assert "none in the file" in capsys.readouterr().out


@pytest.mark.parametrize(("damage", "code"), [("none", 0), ("npz", 2), ("model", 2)])
def test_exit_codes(tmp_path: Path, damage: str, code: int) -> None:
    model, golden = tmp_path / "model", tmp_path / "golden.npz"
    shutil.copytree(GOLDEN / "gpt2", model)
    shutil.copy(model / "golden.npz", golden)
    if damage == "npz":
        golden.write_bytes(golden.read_bytes()[:-500])
    elif damage == "model":
        (model / "config.json").unlink()
    program = "from llm_cli.main import main; main()"
    command = [sys.executable, "-c", program, "convert", "--verify", model, "--golden", golden]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 1 or damage == "none"


def test_paddle_says_nothing_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    script = (
        "import sys; from llm_cli.main import run; folder = sys.argv[1];"
        "sys.exit(run(['convert', '--verify', folder, '--golden', folder + '/golden.npz',"
        " '--decoder', 'paddle']))"
    )
    # An empty PATH has no ccache, which Paddle warns of.
    done = subprocess.run(
        [sys.executable, "-c", script, str(GOLDEN / "mistral")],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ccache" not in done.stderr
