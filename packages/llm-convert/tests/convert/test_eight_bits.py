"""`--dtype float8` and `int8`: what is in the files, who reads them, and the way back."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from llm_cli.errors import UserError
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError, QuantizationError
from llm_convert.files.folder import open_weights
from llm_convert.model import open_model
from llm_kernels.families import SLOTS, ParameterKey
from llm_kernels.weights import Float8Weight, Int8Weight

CODES = {"float8": ("F8_E4M3", 448.0), "int8": ("I8", 127.0)}
FAMILIES = ["llama_v2_gqa", "baichuan2_7b", "chatglm2", "qwen2_moe", "deepseek_v3", "bloom"]


def run(**options: Any) -> Path:
    named = {name: str(value) for name, value in options.items() if name != "overwrite"}
    assert convert(ConvertOptions(**named)) == 0
    return Path(named["output_path"])


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_linears_are_codes_and_scales_and_the_rest_is_kept(
    golden: Path, tmp_path: Path, family: str, dtype: str
) -> None:
    """The oracle divides each row of the source by its largest entry, in float64."""
    name, most = CODES[dtype]
    folder = run(from_torch=golden / family, output_path=tmp_path / "x", to="hf", dtype=dtype)
    source, model = open_model(golden / family), open_model(folder)
    assert model.quantization is not None
    for key in source.parameters:
        dense, found = source.dense(key), model.weight(key)
        adaptable = SLOTS[key.slot].adaptable and key.leaf == "weight"
        if not adaptable:
            assert isinstance(found, np.ndarray)
            np.testing.assert_array_equal(found, dense)
            continue
        assert isinstance(found, Float8Weight if dtype == "float8" else Int8Weight)
        scales = np.abs(dense.astype(np.float64)).max(1, keepdims=True) / most
        np.testing.assert_allclose(found.scales, scales, rtol=1e-6)
        step = scales / 2 if dtype == "int8" else np.maximum(np.abs(dense) / 16, scales * 2**-10)
        assert (np.abs(found.dequantize() - dense) <= step * 1.001).all()
    with safe_open(folder / "model.safetensors", "numpy") as file:
        types = {each: file.get_slice(each).get_dtype() for each in file.keys()}  # noqa: SIM118
    scaled = [each for each in types if each.endswith("_scale")]
    assert scaled
    for each in scaled:
        assert types[each.removesuffix("_scale")] == name


def test_the_configuration_is_that_of_compressed_tensors(golden: Path, tmp_path: Path) -> None:
    source = golden / "llama_v2_gqa"
    run(from_torch=source, output_path=tmp_path / "b", to="hf", dtype="bfloat16")
    folder = run(from_torch=tmp_path / "b", output_path=tmp_path / "x", to="hf", dtype="float8")
    config = json.loads((folder / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16"
    stated = config["quantization_config"]
    assert (stated["quant_method"], stated["format"]) == ("compressed-tensors", "float-quantized")
    assert stated["ignore"] == ["lm_head"]
    (group,) = stated["config_groups"].values()
    assert (group["format"], group["input_activations"]) == ("float-quantized", None)
    assert group["weights"] == {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "strategy": "channel",
        "group_size": None,
        "dynamic": False,
    }
    files = open_weights(folder)
    stem = "model.layers.0.mlp.down_proj.weight"
    assert files.info(f"{stem}_scale") == (ml_dtypes.bfloat16, (64, 1))
    assert files.info("model.embed_tokens.weight").dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("wide", ["float32", "bfloat16"])
def test_the_way_back_is_the_product_of_code_and_scale(
    golden: Path, tmp_path: Path, dtype: str, wide: str
) -> None:
    source = golden / "qwen2"
    packed = run(from_torch=source, output_path=tmp_path / "x", to="hf", dtype=dtype)
    paddle = run(from_torch=packed, output_path=tmp_path / "p", dtype=wide)
    stored, model = open_weights(packed), open_model(paddle)
    assert (model.naming, model.quantization) == ("paddlenlp", None)
    assert "quantization_config" not in model.config
    stem = "model.layers.1.mlp.up_proj.weight"
    product = stored[stem].astype(np.float64) * stored[f"{stem}_scale"].astype(np.float64)
    expected = product.astype(np.float32).astype(wide if wide == "float32" else ml_dtypes.bfloat16)
    np.testing.assert_array_equal(model.weight(ParameterKey("up", 1)), expected)


@pytest.mark.parametrize("dtype", CODES)
def test_codes_stay_when_they_are_only_moved(golden: Path, tmp_path: Path, dtype: str) -> None:
    source = golden / "llama_v3"
    packed = run(from_torch=source, output_path=tmp_path / "x", to="hf", dtype=dtype)
    again = run(from_torch=packed, output_path=tmp_path / "y", to="hf", max_shard_size="100KB")
    before, after = open_weights(packed), open_weights(again)
    assert set(before) == set(after)
    for name in before:
        assert before[name].tobytes() == after[name].tobytes(), name
    one, other = ((each / "config.json").read_text() for each in (packed, again))
    assert json.loads(one) == json.loads(other)


@pytest.mark.parametrize("dtype", CODES)
def test_the_engine_runs_it(
    golden: Path, tmp_path: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The native decoder on the codes, against the original logits of the dense weights."""
    family = golden / "llama_v2_gqa"
    folder = run(from_torch=family, output_path=tmp_path / "x", to="hf", dtype=dtype)
    for decoder in ("reference", "native"):
        capsys.readouterr()
        options = ConvertOptions(
            verify=str(folder), golden=str(family / "golden.npz"), decoder=decoder, tolerance=10.0
        )
        assert convert(options) == 0
        out = " ".join(capsys.readouterr().out.split())
        found = re.search(r"differ by at most ([\d.e-]+) .*largest logit ([\d.]+)", out)
        assert found is not None, out
        assert 1e-4 < float(found[1]) < 0.2 * float(found[2])


def test_every_source_and_the_gate(golden: Path, tmp_path: Path) -> None:
    run(from_torch=golden / "mistral", output_path=tmp_path / "p")
    folder = run(to_torch=tmp_path / "p", output_path=tmp_path / "x", dtype="int8")
    assert open_model(folder).quantization is not None
    certificate = json.loads((folder / "certificate.json").read_text())
    assert 0 < certificate["mean_kl"] < 0.1
    options = ConvertOptions(
        from_torch=str(folder),
        output_path=str(tmp_path / "y"),
        to="hf",
        dtype="float8",
        max_kl=1e-9,
    )
    with pytest.raises(ConvertError, match="more than --max_kl 1e-09"):
        convert(options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"from_torch": "x", "dtype": "float8"}, r"--dtype float8.*PaddleNLP's.*Add --to hf"),
        ({"from_meta": "x", "dtype": "int8"}, r"--dtype int8.*Add --to hf"),
        ({"to_torch": "x", "to": "paddlenlp", "dtype": "int8"}, r"Add --to hf"),
        ({"from_torch": "x", "to": "gguf", "dtype": "float8"}, r"no type of GGUF files.*q8_0"),
    ],
)
def test_layouts_without_a_place_for_scales_are_refused(
    options: dict[str, str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        ConvertOptions(output_path="y", **options)  # type: ignore[arg-type]


def test_linears_by_input_rows_are_refused(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match=r"stored by input rows.*Choose --dtype bfloat16"):
        run(from_torch=golden / "gpt2", output_path=tmp_path / "x", to="hf", dtype="float8")
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_none_are_refused(golden: Path, tmp_path: Path) -> None:
    """Without a verification the rounding itself must look."""
    source = tmp_path / "source"
    shutil.copytree(golden / "llama_v1", source)
    (source / "pytorch_model.bin").unlink(missing_ok=True)
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][3, 4] = np.nan
    save_file(tensors, source / "model.safetensors")
    options = ConvertOptions(
        from_torch=str(source),
        output_path=str(tmp_path / "x"),
        to="hf",
        dtype="float8",
        verify="false",
    )
    with pytest.raises(ConvertError, match=r"weights layers\.0\.up\.weight .*not finite"):
        convert(options)
    assert not (tmp_path / "x").exists()
