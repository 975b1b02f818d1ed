"""GGUF files against the golden logits of the original implementations, named by their path."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError
from llm_convert.foreign.opening import gguf_file, open_path


def as_gguf(model: Path, folder: Path, dtype: str = "float32") -> Path:
    convert(ConvertOptions(from_torch=str(model), output_path=str(folder), to="gguf", dtype=dtype))
    return folder / "model.gguf"


def verify(model: Path, golden: Path, **options: object) -> int:
    return convert(ConvertOptions(verify=str(model), golden=str(golden), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["llama_v2_gqa", "llama_v3", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("decoder", ["reference", "native"])
def test_a_gguf_file_computes_the_original_logits(
    golden: Path, tmp_path: Path, family: str, decoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = as_gguf(golden / family, tmp_path / "gguf")
    assert verify(file, golden / family / "golden.npz", decoder=decoder) == 0
    assert "top-1 agreement 100.00%" in " ".join(capsys.readouterr().out.split())


def test_its_folder_and_any_name_of_it_will_do(golden: Path, tmp_path: Path) -> None:
    file = as_gguf(golden / "qwen2", tmp_path / "gguf")
    renamed = shutil.copy(file, tmp_path / "model.bin")
    for path in (file.parent, renamed):
        assert verify(path, golden / "qwen2" / "golden.npz") == 0
    shutil.copy(file, file.with_name("other.gguf"))
    assert gguf_file(file.parent) is None


def test_one_wrong_number_in_the_file_is_found(golden: Path, tmp_path: Path) -> None:
    file = as_gguf(golden / "llama_v1", tmp_path / "gguf")
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    start = int(tensors["blk.0.ffn_norm.weight"].data_offset) + 5 * 4
    content = bytearray(file.read_bytes())
    number = np.frombuffer(content, "<f4", 1, start) + 0.5
    content[start : start + 4] = number.tobytes()
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(content)
    npz = golden / "llama_v1" / "golden.npz"
    assert verify(file, npz) == 0
    assert verify(changed, npz) == 1
    assert verify(changed, npz, tolerance=10.0) == 0


def test_quantized_tensors_are_run_as_they_are(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Q8_0 moves the logits by more than float32 does, and by less than a twentieth of them."""
    file = as_gguf(golden / "llama_v2_gqa", tmp_path / "gguf", "q8_0")
    npz = golden / "llama_v2_gqa" / "golden.npz"
    assert verify(file, npz) == 1
    largest = max(float(np.abs(np.load(npz)[name]).max()) for name in ("logits_0", "logits_1"))
    capsys.readouterr()
    assert verify(file, npz, tolerance=0.05 * largest) == 0


@pytest.mark.parametrize("target", ["hf", "paddlenlp"])
def test_a_conversion_from_gguf_is_read_back(golden: Path, tmp_path: Path, target: str) -> None:
    file = as_gguf(golden / "qwen3", tmp_path / "gguf")
    folder = tmp_path / target
    convert(ConvertOptions(gguf=str(file), output_path=str(folder), to=target))
    certificate = json.loads((folder / "certificate.json").read_text())
    assert certificate["tokens"] > 1
    assert certificate["max_abs_diff"] < 1e-5
    assert verify(folder, golden / "qwen3" / "golden.npz") == 0


def test_what_is_no_model_is_said(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ConvertError, match=r"notes\.txt is a file\. Name the folder"):
        open_path(tmp_path / "notes.txt")
    file = as_gguf(golden / "qwen2", tmp_path / "gguf")
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:-500])
    program = "from llm_cli.main import main; main()"
    npz = golden / "qwen2" / "golden.npz"
    command = ["convert", "--verify", tmp_path / "cut.gguf", "--golden", npz]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "cut.gguf is truncated" in done.stderr
    assert "Traceback" not in done.stderr
