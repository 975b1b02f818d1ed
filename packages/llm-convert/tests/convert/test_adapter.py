"""`llm convert` of adapters: to PaddleNLP's files and back, with the base named or found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import is_complete
from llm_convert.files.safetensors import open_safetensors
from llm_convert.lora import merged, read_lora
from llm_convert.model import open_model


def convert(*arguments: object) -> int:
    return run(["convert", *map(str, arguments)])


@pytest.mark.parametrize(
    ("base", "lora"), [("llama_v2_gqa", "lora_llama_v2_gqa"), ("gpt2", "lora_gpt2")]
)
def test_there_and_back(base: str, lora: str, golden: Path, tmp_path: Path) -> None:
    source, model = golden / lora, golden / base
    there, back = tmp_path / "there", tmp_path / "back"
    named = ("--base_model_name_or_path", model)
    assert convert("--from-torch", source, *named, "--output_path", there) == 0
    assert (there / "lora_model_state.pdparams").is_file()
    assert is_complete(there)
    # The base is found by what the adapter says from here on.
    assert convert("--to-torch", there, "--output_path", back) == 0
    one = open_safetensors(source / "adapter_model.safetensors")
    two = open_safetensors(back / "adapter_model.safetensors")
    assert set(one) == set(two)
    for name in one:
        assert one.info(name) == two.info(name)
        np.testing.assert_array_equal(one[name], two[name])
    first, last = (
        json.loads((folder / "adapter_config.json").read_text()) for folder in (source, back)
    )
    same = ("r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out", "use_rslora")
    assert {name: last[name] for name in same} == {name: first[name] for name in same}
    opened = open_model(model)
    ours = merged(opened, read_lora(there, opened))
    theirs = merged(opened, read_lora(source, opened))
    for key in opened.parameters:
        np.testing.assert_array_equal(ours(key), theirs(key))


def test_without_a_base(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "adapter"
    shutil.copytree(golden / "lora_llama_v2_gqa", source)
    config = json.loads((source / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (source / "adapter_config.json").write_text(json.dumps(config))
    assert convert("--from-torch", source, "--output_path", tmp_path / "out") == 2
    assert "Name it with --base_model_name_or_path" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_the_wrong_direction(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, base = golden / "lora_llama_v2_gqa", golden / "llama_v2_gqa"
    arguments = ("--base_model_name_or_path", base, "--output_path", tmp_path / "out")
    assert convert("--to-torch", source, *arguments) == 2
    assert "Name it with --from_torch" in " ".join(capsys.readouterr().err.split())


def test_another_type(golden: Path, tmp_path: Path) -> None:
    source, base = golden / "lora_llama_v2_gqa", golden / "llama_v2_gqa"
    arguments = ("--base_model_name_or_path", base, "--output_path", tmp_path / "out")
    assert convert("--from-torch", source, *arguments, "--to", "hf", "--dtype", "bfloat16") == 0
    files = open_safetensors(tmp_path / "out" / "adapter_model.safetensors")
    assert {files.info(name).dtype.name for name in files} == {"bfloat16"}


def test_another_base_of_the_same_shapes_is_recognised_after_a_conversion(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, base, there = golden / "lora_llama_v2_gqa", golden / "llama_v2_gqa", tmp_path / "there"
    named = "--base_model_name_or_path"
    assert convert("--from-torch", source, named, base, "--output_path", there) == 0
    other = shutil.copytree(base, tmp_path / "other")
    raw = bytearray((other / "model.safetensors").read_bytes())
    weights = np.frombuffer(raw, np.float32, offset=8 + int.from_bytes(raw[:8], "little"))
    weights[:] = np.random.default_rng(3).permutation(weights)
    (other / "model.safetensors").write_bytes(raw)
    arguments = ("--to-torch", there, "--output_path", tmp_path / "back")
    assert convert(*arguments, named, other) == 2
    assert "was trained on" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "back").exists()
    assert convert(*arguments) == 0
    kept = ((folder / "lora_base.json").read_text() for folder in (there, tmp_path / "back"))
    assert next(kept) == next(kept)


def test_a_name_on_the_hub_goes_along(golden: Path, tmp_path: Path) -> None:
    """Others can use it too, which the path that was read here is not good for."""
    source = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "adapter")
    config = json.loads((source / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "some-org/some-model"
    (source / "adapter_config.json").write_text(json.dumps(config))
    there, back = tmp_path / "there", tmp_path / "back"
    named = ("--base_model_name_or_path", golden / "llama_v2_gqa")
    assert convert("--from-torch", source, *named, "--output_path", there) == 0
    assert convert("--to-torch", there, *named, "--output_path", back) == 0
    for file in (there / "lora_config.json", back / "adapter_config.json"):
        assert json.loads(file.read_text())["base_model_name_or_path"] == "some-org/some-model"
