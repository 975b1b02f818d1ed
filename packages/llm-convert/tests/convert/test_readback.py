"""What is read back after encoders and adapters were written, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from llm_cli.main import run
from llm_convert.convert.readback import Held, compare_tensors
from llm_convert.errors import ConvertError
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo

ONES = np.ones((2, 3), np.float32)


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments)])


def certificate(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "certificate.json").read_text())
    return found


def test_what_is_the_same_is_exact() -> None:
    found = compare_tensors([Held("a", 3 * ONES, 3 * ONES), Held("b", ONES, ONES)])
    assert (found.tensors, found.exact, found.max_abs_diff, found.max_abs_value) == (2, True, 0, 3)


def test_a_cast_is_measured() -> None:
    wanted = np.array([1 + 2**-9, -2], np.float32)
    found = compare_tensors([Held("a", wanted, wanted.astype(ml_dtypes.bfloat16))])
    assert not found.exact
    assert found.max_abs_diff == 2**-9


@pytest.mark.parametrize("other", [ONES + 1e-6, ONES.T, -ONES, ONES.astype(np.float16) + 1])
def test_another_tensor_is_found(other: np.ndarray) -> None:
    with pytest.raises(ConvertError, match="a, read back, is not what should have been written"):
        compare_tensors([Held("a", ONES, other.astype(other.dtype, copy=False))])


def test_numbers_beyond_a_type_are_told() -> None:
    wanted = 1e6 * ONES
    with np.errstate(over="ignore"):
        found = wanted.astype(np.float16)
    with pytest.raises(ConvertError, match="too large for float16"):
        compare_tensors([Held("a", wanted, found)])


def test_rounding_has_a_limit() -> None:
    assert compare_tensors([Held("a", ONES, ONES + 1e-3, 1e-2)]).max_abs_diff > 9e-4
    with pytest.raises(ConvertError, match="is not what"):
        compare_tensors([Held("a", ONES, ONES + 1e-1, 1e-2)])


@pytest.mark.parametrize("name", ["bert", "t5", "electra", "bart", "clip"])
def test_an_encoder_is_read_back(
    golden: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--max_kl", 0.01, "--verify", "true", "--output_path", tmp_path / "out")
    assert convert("--from-torch", golden / "encoders" / name, *arguments) == 0
    found = certificate(tmp_path / "out")
    assert found["exact"] is True
    assert found["tensors"] == len(open_safetensors(tmp_path / "out" / "model.safetensors"))
    assert "every bit is the source's" in " ".join(capsys.readouterr().out.split())


def test_an_encoder_in_another_type(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--from-torch", golden / "encoders" / "bert", "--dtype", "bfloat16")
    assert convert(*source, "--output_path", tmp_path / "out") == 0
    found = certificate(tmp_path / "out")
    assert found["exact"] is False
    assert "differ from the source's by at most" in " ".join(capsys.readouterr().out.split())
    assert convert(*source, "--max_kl", 0.01, "--output_path", tmp_path / "x") == 2
    assert "no decoder here computes" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x").exists()


def test_without_verification(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("--from-torch", golden / "encoders" / "bert", "--verify", "false")
    assert convert(*source, "--output_path", tmp_path / "out") == 0
    assert not (tmp_path / "out" / "certificate.json").exists()
    assert "Not verified" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("base", "lora"), [("llama_v2_gqa", "lora_llama_v2_gqa"), ("gpt2", "lora_gpt2")]
)
def test_an_adapter_is_read_back(
    golden: Path, tmp_path: Path, base: str, lora: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("--base_model_name_or_path", golden / base)
    arguments = (*named, "--max_kl", 0.01, "--output_path")
    assert convert("--from-torch", golden / lora, *arguments, tmp_path / "there") == 0
    assert certificate(tmp_path / "there")["exact"] is True
    assert convert("--to-torch", tmp_path / "there", *arguments, tmp_path / "back") == 0
    assert certificate(tmp_path / "back")["exact"] is True
    assert "every bit is the source's" in " ".join(capsys.readouterr().out.split())


def test_other_ranks_and_scalings_are_compared_by_their_products(
    golden: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "source")
    config = json.loads((source / "adapter_config.json").read_text())
    config["rank_pattern"], config["alpha_pattern"] = {"q_proj": 2}, {"q_proj": 5}
    (source / "adapter_config.json").write_text(json.dumps(config))
    files = open_safetensors(source / "adapter_model.safetensors")
    tensors = {name: np.array(files[name]) for name in files}
    for name in tensors:
        if ".q_proj.lora_A" in name:
            tensors[name] = tensors[name][:2]
        if ".q_proj.lora_B" in name:
            tensors[name] = np.ascontiguousarray(tensors[name][:, :2])
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_safetensors(source / "adapter_model.safetensors", infos, tensors.__getitem__)
    named = ("--base_model_name_or_path", golden / "llama_v2_gqa")
    assert convert("--from-torch", source, *named, "--output_path", tmp_path / "out") == 0
    found = certificate(tmp_path / "out")
    assert found["exact"] is False
    assert float(str(found["max_abs_diff"])) < 1e-5 * float(str(found["max_abs_value"]))


def test_shards_of_an_adapter_are_refused(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--base_model_name_or_path", golden / "llama_v2_gqa", "--max_shard_size", "1MB")
    source = ("--from-torch", golden / "lora_llama_v2_gqa")
    assert convert(*source, *arguments, "--output_path", tmp_path / "out") == 2
    assert "Leave it out" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
