"""compressed-tensors' eight-bit formats with rounded inputs: weights, scales and roundings."""

from __future__ import annotations

import json
import shutil

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import QuantizationError
from llm_convert.files.folder import open_weights
from llm_convert.model import open_model
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Float8Weight, InputRounding, Int8Weight, RoundedInputs

SLOTS = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "out", "down_proj": "down"}


def checkpoint(golden, folder, inputs, *, by_row=True, family="llama_v2_gqa"):
    """A golden model with int8 linears, and what they stand for."""
    shutil.copytree(golden / family, folder)
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    expected = {}
    for name in [name for name in tensors if name.split(".")[-2] in SLOTS]:
        dense = tensors.pop(name).astype(np.float32)
        most = (
            np.abs(dense).max(axis=1, keepdims=True) if by_row else np.abs(dense).max(keepdims=True)
        )
        scale = (most / 127).astype(np.float32)
        codes = np.rint(dense / scale).astype(np.int8)
        tensors |= {name: codes, f"{name}_scale": scale}
        if inputs == "static":
            stem = name.removesuffix(".weight")
            tensors[f"{stem}.input_scale"] = np.array([0.25], np.float32)
        expected[name] = codes * scale
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    activations = {
        None: None,
        "dynamic": {"num_bits": 8, "strategy": "token", "symmetric": True, "dynamic": True},
        "static": {"num_bits": 8, "strategy": "tensor", "symmetric": True, "dynamic": False},
    }[inputs]
    weights = {"num_bits": 8, "strategy": "channel" if by_row else "tensor", "symmetric": True}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "config_groups": {"group_0": {"weights": weights, "input_activations": activations}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return expected


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize(
    ("inputs", "rounding"),
    [
        (None, None),
        ("dynamic", InputRounding("int8_token")),
        ("static", InputRounding("int8_static", 0.25)),
    ],
)
def test_weights_and_how_their_inputs_are_rounded(golden, tmp_path, inputs, rounding, by_row):
    expected = checkpoint(golden, tmp_path / "m", inputs, by_row=by_row)
    model = open_model(tmp_path / "m")
    assert model.quantization is not None
    for name, wanted in expected.items():
        parts = name.split(".")
        key = ParameterKey(SLOTS[parts[-2]], int(parts[2]))
        weight = model.weight(key)
        assert isinstance(weight, Int8Weight if rounding is None else RoundedInputs)
        if isinstance(weight, RoundedInputs):
            assert weight.rounding == rounding
        # q and k are turned to half rotation where the file has pairs; this one has halves.
        np.testing.assert_allclose(model.dense(key), wanted, rtol=1e-6, atol=1e-7)
        model.release(key)


def test_float8(golden, tmp_path):
    checkpoint(golden, tmp_path / "m", "dynamic")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    codes = {name: value for name, value in tensors.items() if value.dtype == np.int8}
    small = {name: (value / 16).astype(ml_dtypes.float8_e4m3fn) for name, value in codes.items()}
    save_file({**tensors, **small}, file)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["quantization_config"]["format"] = "float-quantized"
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    weight = open_model(tmp_path / "m").weight(ParameterKey("out", 1))
    assert isinstance(weight, RoundedInputs)
    assert isinstance(weight.weight, Float8Weight)
    assert weight.rounding.kind == "float8_token"
    name = "model.layers.1.self_attn.o_proj.weight"
    wanted = small[name].astype(np.float32) * tensors[f"{name}_scale"]
    np.testing.assert_allclose(weight.dequantize(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda group: group["weights"].update(num_bits=4), "weights of 4 bits"),
        (lambda group: group["weights"].update(strategy="group"), "by group"),
        (lambda group: group["input_activations"].update(symmetric=False), "asymmetric"),
        (lambda group: group.pop("weights"), "malformed"),
    ],
)
def test_what_is_not_supported_is_named(golden, tmp_path, change, words):
    checkpoint(golden, tmp_path / "m", "dynamic")
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    change(config["quantization_config"]["config_groups"]["group_0"])
    file.write_text(json.dumps(config))
    with pytest.raises(QuantizationError, match=words):
        open_model(tmp_path / "m")


def test_a_missing_scale_is_named(golden, tmp_path):
    checkpoint(golden, tmp_path / "m", "static")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    del tensors[next(name for name in tensors if name.endswith(".input_scale"))]
    save_file(tensors, file)
    with pytest.raises(QuantizationError, match=r"without .*input_scale"):
        open_model(tmp_path / "m")


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("inputs", [None, "dynamic", "static"])
@pytest.mark.parametrize("family", ["llama_v2_gqa", "baichuan2_7b"])
def test_they_are_rewritten_without_a_loss(golden, tmp_path, inputs, by_row, family):
    checkpoint(golden, tmp_path / "m", inputs, by_row=by_row, family=family)
    options = ConvertOptions(
        from_torch=str(tmp_path / "m"),
        output_path=str(tmp_path / "again"),
        to="hf",
        max_shard_size="100KB",
    )
    assert convert(options) == 0
    before, after = open_weights(tmp_path / "m"), open_weights(tmp_path / "again")
    assert {name for name in before if "rotary_emb" not in name} == set(after)
    for name in after:
        same = np.broadcast_to(before[name], after[name].shape)
        np.testing.assert_array_equal(after[name], same, err_msg=name)
    one, other = (open_model(tmp_path / name) for name in ("m", "again"))
    for key in one.parameters:
        weight, again = one.weight(key), other.weight(key)
        assert type(weight) is type(again)
        if isinstance(weight, RoundedInputs):
            assert weight.rounding == again.rounding


@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_files_of_auto_fp8(golden, tmp_path, scheme):
    """One number for all of a weight, as a tensor without dimensions."""
    shutil.copytree(golden / "qwen2", tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").unlink(missing_ok=True)
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.0.mlp.down_proj.weight"
    scale = np.float32(np.abs(tensors[name]).max() / 448)
    codes = (tensors[name] / scale).astype(ml_dtypes.float8_e4m3fn)
    tensors |= {name: codes, f"{name}_scale": np.array(scale)}
    if scheme == "static":
        tensors[name.replace("weight", "input_scale")] = np.array(0.5, np.float32)
    save_file(tensors, file)
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "activation_scheme": scheme}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    weight = open_model(tmp_path / "m").weight(ParameterKey("down", 0))
    assert isinstance(weight, RoundedInputs)
    assert weight.rounding == (
        InputRounding("float8_static", 0.5) if scheme == "static" else InputRounding("float8_token")
    )
    wanted = codes.astype(np.float64) * float(scale)
    np.testing.assert_allclose(weight.dequantize(), wanted, rtol=1e-6)
