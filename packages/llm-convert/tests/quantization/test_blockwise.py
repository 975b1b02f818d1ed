"""Float8 weights with a scale a block, and layers that predict further tokens.

The oracle is NumPy in float64: every code, decoded from its bits, times the number of its block.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError, QuantizationError, TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.model import open_model
from llm_convert.saving import save_model
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Float8Weight

FURTHER = ("eh_proj", "enorm", "hnorm", "shared_head.norm", "shared_head.head", "embed_tokens")


def decoded(codes: np.ndarray) -> np.ndarray:
    """e4m3 by its definition: sign, four bits of exponent (bias 7), three of mantissa."""
    bits = codes.view(np.uint8).astype(np.int64)
    exponent, mantissa = bits >> 3 & 15, bits & 7
    small = mantissa / 8 * 2.0**-6
    large = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return np.where(bits >> 7, -1, 1) * np.where(exponent == 0, small, large)


def blocked(dense: np.ndarray, block: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, scales a block, and what they stand for in float64."""
    rows, columns = dense.shape
    scales = np.zeros((-(-rows // block[0]), -(-columns // block[1])), np.float32)
    codes = np.zeros(dense.shape, ml_dtypes.float8_e4m3fn)
    wanted = np.zeros(dense.shape)
    for i, j in np.ndindex(*scales.shape):
        at = np.s_[i * block[0] : (i + 1) * block[0], j * block[1] : (j + 1) * block[1]]
        scales[i, j] = np.abs(dense[at]).max() / 448
        codes[at] = (dense[at] / scales[i, j]).astype(ml_dtypes.float8_e4m3fn)
        wanted[at] = decoded(codes[at]) * float(scales[i, j])
    return codes, scales, wanted


def checkpoint(
    golden: Path,
    folder: Path,
    family: str = "deepseek_v3",
    block: tuple[int, int] = (16, 16),
    *,
    further: bool = False,
    scale_dtype: Any = np.float32,
) -> dict[str, np.ndarray]:
    """A golden model as published: linears of its layers in blocks; what each stands for."""
    shutil.copytree(golden / family, folder)
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    if further:
        last = config["num_hidden_layers"]
        config["num_nextn_predict_layers"] = 1
        one, other = f"layers.{last - 1}.", f"layers.{last}."
        tensors |= {name.replace(one, other): tensors[name] for name in tensors if one in name}
        plain = tensors["model.embed_tokens.weight"]
        tensors |= {f"model.layers.{last}.{part}.weight": plain for part in FURTHER}
    wanted = {}
    for name in [name for name in tensors if name.endswith("_proj.weight") or "_proj_with" in name]:
        codes, scales, wanted[name] = blocked(tensors.pop(name), block)
        scales = scales.astype(scale_dtype)
        if scale_dtype is not np.float32:
            grown = np.repeat(np.repeat(scales, block[0], 0), block[1], 1)
            grown = grown[: codes.shape[0], : codes.shape[1]].astype(np.float64)
            wanted[name] = decoded(codes) * grown
        tensors |= {name: codes, f"{name}_scale_inv": scales}
    save_file(tensors, folder / "model.safetensors")
    config["quantization_config"] = {
        "quant_method": "fp8",
        "fmt": "e4m3",
        "activation_scheme": "dynamic",
        "weight_block_size": list(block),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return wanted


def stored(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in open_weights(folder).items()}


@pytest.mark.parametrize("block", [(16, 16), (128, 128), (7, 8), (16, 5)])
@pytest.mark.parametrize("family", ["deepseek_v3", "qwen3", "qwen3_moe"])
@pytest.mark.parametrize("wide", ["float32", "bfloat16"])
def test_blocks_are_dequantized_exactly(
    golden: Path, tmp_path: Path, family: str, block: tuple[int, int], wide: str
) -> None:
    """Blocks that divide the shapes, cover them whole, and are cut off by their edges."""
    wanted = checkpoint(golden, tmp_path / "m", family, block)
    convert(
        ConvertOptions(
            from_torch=str(tmp_path / "m"), output_path=str(tmp_path / "x"), to="hf", dtype=wide
        )
    )
    found = stored(tmp_path / "x")
    dtype = np.dtype(np.float32 if wide == "float32" else ml_dtypes.bfloat16)
    assert wanted
    for name, dense in wanted.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], dense.astype(np.float32).astype(dtype))
    assert not any(name.endswith("_inv") for name in found)
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert "quantization_config" not in config


@pytest.mark.parametrize("decoder", ["reference", "native"])
@pytest.mark.parametrize("block", [(16, 8), (128, 128), (16, 5)])
def test_they_are_run_as_they_are(
    golden: Path, tmp_path: Path, decoder: str, block: tuple[int, int]
) -> None:
    """Against the logits of the same numbers in a dense checkpoint."""
    wanted = checkpoint(golden, tmp_path / "m", block=block)
    packed = open_model(tmp_path / "m")
    assert packed.quantization is not None
    dense = tmp_path / "dense"
    shutil.copytree(golden / "deepseek_v3", dense)
    tensors = stored(dense) | {name: w.astype(np.float32) for name, w in wanted.items()}
    save_file(tensors, dense / "model.safetensors")
    from llm_kernels import reference_decoder

    model = open_model(dense)
    tokens = np.random.default_rng(1).integers(0, model.sizes.vocab, 24)
    logits = reference_decoder.forward(model.spec, model.sizes, model.weight, tokens)
    np.savez(tmp_path / "g.npz", prompt_0=tokens, logits_0=logits)
    options = ConvertOptions(
        verify=str(tmp_path / "m"), golden=str(tmp_path / "g.npz"), decoder=decoder
    )
    assert convert(options) == 0


def test_codes_are_kept_where_blocks_divide_the_inputs(golden: Path, tmp_path: Path) -> None:
    wanted = checkpoint(golden, tmp_path / "m", "qwen3", (7, 8), scale_dtype=ml_dtypes.bfloat16)
    model = open_model(tmp_path / "m")
    weight = model.weight(ParameterKey("out", 1))
    assert isinstance(weight, Float8Weight)
    assert weight.group_size == 8
    dense = wanted["model.layers.1.self_attn.o_proj.weight"]
    np.testing.assert_array_equal(weight.dequantize(), dense.astype(np.float32))
    assert model.dtype(ParameterKey("out", 1)) == ml_dtypes.bfloat16


@pytest.mark.parametrize("prefix", ["model.", ""])
def test_layers_that_predict_further_tokens_are_left_out(
    golden: Path, tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(golden, tmp_path / "m", further=True)
    if not prefix:
        tensors = stored(tmp_path / "m")
        short = {name.removeprefix("model."): array for name, array in tensors.items()}
        save_file(short, tmp_path / "m" / "model.safetensors")
    options = ConvertOptions(
        from_torch=str(tmp_path / "m"), output_path=str(tmp_path / "x"), dtype="bfloat16"
    )
    assert convert(options) == 0
    out = " ".join(capsys.readouterr().out.split())
    count = len(FURTHER) + sum("layers.2." in name for name in stored(golden / "deepseek_v3"))
    assert f"Left out: {count} tensors that predict further tokens ({prefix}layers.3)" in out
    assert not any("layers.3." in name for name in stored(tmp_path / "x"))
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["num_nextn_predict_layers"] == 0
    source, model = open_model(tmp_path / "m"), open_model(tmp_path / "x")
    for key in source.parameters:
        # What is added to the scores of experts stays as it was published.
        dtype = np.float32 if key.slot == "router_correction" else ml_dtypes.bfloat16
        np.testing.assert_array_equal(model.weight(key), source.dense(key, dtype))


def test_a_layer_too_many_without_their_marks_is_still_unknown(
    golden: Path, tmp_path: Path
) -> None:
    shutil.copytree(golden / "deepseek_v3", tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["num_hidden_layers"] = 2
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(TensorMismatchError, match=r"unknown: model\.layers\.2\."):
        open_model(tmp_path / "m")


def test_they_are_not_written(golden: Path, tmp_path: Path) -> None:
    checkpoint(golden, tmp_path / "m")
    for target in ("hf", "paddlenlp"):
        options = ConvertOptions(
            from_torch=str(tmp_path / "m"), output_path=str(tmp_path / "x"), to=target
        )
        with pytest.raises(ConvertError, match=r"read and run, and never written.*--dtype"):
            convert(options)
    model = open_model(tmp_path / "m")
    with pytest.raises(QuantizationError, match="read and never written"):
        save_model(
            tmp_path,
            config=model.config,
            spec=model.spec,
            sizes=model.sizes,
            parameters=model.weight,
            naming="hf",
            quantization=model.quantization,
        )
    options = ConvertOptions(
        from_torch=str(tmp_path / "m"), output_path=str(tmp_path / "x"), to="hf", dtype="float8"
    )
    assert convert(options) == 0


def damaged(folder: Path, damage: str) -> None:
    tensors = stored(folder)
    config = json.loads((folder / "config.json").read_text())
    name = "model.layers.1.self_attn.o_proj.weight"
    if damage == "missing":
        del tensors[f"{name}_scale_inv"]
    elif damage == "shape":
        tensors[f"{name}_scale_inv"] = tensors[f"{name}_scale_inv"][:-1]
    else:
        config["quantization_config"]["weight_block_size"] = json.loads(damage)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", r"o_proj\.weight is float8 and has no .*_scale_inv"),
        ("shape", r"o_proj\.weight_scale_inv is \[2, 3\], which is not a number for each block"),
        ("[128]", r"weight_block_size .* is \[128\]; it must be two numbers"),
        ("[16, 0]", "two numbers above 0"),
        ("[16, 32]", "Check weight_block_size"),
        ('"16"', "two numbers above 0"),
    ],
)
def test_what_does_not_fit_is_told(golden: Path, tmp_path: Path, damage: str, words: str) -> None:
    checkpoint(golden, tmp_path / "m")
    damaged(tmp_path / "m", damage)
    with pytest.raises(QuantizationError, match=words):
        open_model(tmp_path / "m")
