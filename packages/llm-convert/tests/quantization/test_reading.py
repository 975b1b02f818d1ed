"""Quantized checkpoints: the format computed by hand, round trips of families, contradictions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.errors import QuantizationError, TensorMismatchError
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.layout import Weight
from llm_convert.model import Model, open_model, save_model
from llm_convert.quantization import Quantization, QuantizedTensors, Scheme
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight

SCHEMES = (Scheme(4, None), Scheme(4, None, symmetric=False), Scheme(8, None), Scheme(8, 4))


def quantize(model: Model, scheme: Scheme) -> tuple[Quantization, dict[ParameterKey, Weight]]:
    quantization = Quantization.uniform(model.spec, model.sizes, scheme)
    weights: dict[ParameterKey, Weight] = {}
    for key in model.parameters:
        dense = model.dense(key)
        if key not in quantization.schemes:
            weights[key] = dense
        elif scheme.num_bits == 4:
            weights[key] = Int4Weight.from_dense(dense, scheme.group_size, scheme.symmetric)
        else:
            weights[key] = Int8Weight.from_dense(dense, scheme.group_size)
    return quantization, weights


def save(folder: Path, model: Model, scheme: Scheme) -> dict[ParameterKey, Weight]:
    quantization, weights = quantize(model, scheme)
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=weights.__getitem__,
        naming="hf",
        quantization=quantization,
    )
    return weights


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes -> int32 words along the last axis, first code in the lowest bits, by Python's ints."""
    step = 32 // bits
    words = []
    for row in codes:
        padded = [*(int(code) + (1 << (bits - 1)) for code in row), *([0] * (-len(row) % step))]
        chunks = [padded[i : i + step] for i in range(0, len(padded), step)]
        words.append([sum(code << (bits * i) for i, code in enumerate(c)) for c in chunks])
    return np.array(words, np.uint32).view(np.int32)


def config(**weights: Any) -> dict[str, Any]:
    arguments = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", **weights}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": arguments}},
    }


def tensors(path: Path, config: dict[str, Any], **arrays: np.ndarray) -> QuantizedTensors:
    named = {f"m.weight_{part}": array for part, array in arrays.items()}
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in named.items()}
    write_safetensors(path, infos, named.__getitem__)
    return QuantizedTensors(open_safetensors(path), config)


RNG = np.random.default_rng(3)
SCALES = RNG.uniform(0.1, 1, (6, 2)).astype(np.float32)
SHAPE = np.array([6, 32])


def test_symmetric_four_bits_by_hand(tmp_path: Path) -> None:
    codes = RNG.integers(-8, 8, (6, 32))
    read = tensors(
        tmp_path / "x.safetensors",
        config(group_size=16),
        packed=pack(codes, 4),
        scale=SCALES,
        shape=SHAPE,
    )
    weight = read["m.weight"]
    assert isinstance(weight, Int4Weight)
    assert weight.zeros is None
    assert weight.group_size == 16
    np.testing.assert_allclose(weight.dequantize(), codes * SCALES.repeat(16, 1), rtol=1e-6)
    assert not weight.packed.flags.owndata, "four-bit weights must be views of the file"
    assert read.shapes == {"m.weight": (6, 32)}


def test_asymmetric_four_bits_by_hand(tmp_path: Path) -> None:
    codes, zeros = RNG.integers(-8, 8, (6, 32)), RNG.integers(-8, 8, (6, 2))
    read = tensors(
        tmp_path / "x.safetensors",
        config(group_size=16, symmetric=False),
        packed=pack(codes, 4),
        scale=SCALES,
        shape=SHAPE,
        zero_point=np.ascontiguousarray(pack(zeros.T, 4).T),
    )
    weight = read["m.weight"]
    assert isinstance(weight, Int4Weight)
    expected = (codes - zeros.repeat(16, 1)) * SCALES.repeat(16, 1)
    np.testing.assert_allclose(weight.dequantize(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("columns", [32, 30])
def test_eight_bits_by_hand(tmp_path: Path, columns: int) -> None:
    codes = RNG.integers(-128, 128, (6, columns))
    read = tensors(
        tmp_path / "x.safetensors",
        config(num_bits=8, group_size=columns // 2),
        packed=pack(codes, 8),
        scale=SCALES,
        shape=np.array([6, columns]),
    )
    weight = read["m.weight"]
    assert isinstance(weight, Int8Weight)
    expected = codes * SCALES.repeat(columns // 2, 1)
    np.testing.assert_allclose(weight.dequantize(), expected, rtol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize(
    "family", ["llama_v2_gqa", "baichuan_7b", "chatglm2", "qwen2_moe", "bloom", "glm"]
)
def test_families_come_back_as_they_were_written(
    golden: Path, tmp_path: Path, family: str, scheme: Scheme
) -> None:
    model = open_model(golden / family)
    weights = save(tmp_path, model, scheme)
    again = open_model(tmp_path)
    assert again.quantization is not None
    assert set(again.quantization.schemes.values()) == {scheme}
    for key, weight in weights.items():
        read = again.weight(key)
        assert type(read) is type(weight)
        if isinstance(weight, np.ndarray):
            np.testing.assert_array_equal(read, weight)
        else:
            assert not isinstance(read, np.ndarray)
            np.testing.assert_array_equal(read.dequantize(), weight.dequantize())
            np.testing.assert_array_equal(again.dense(key), weight.dequantize())
        again.release(key)


def test_configurations_of_other_tools_are_understood(golden: Path, tmp_path: Path) -> None:
    # The fields that llm-compressor writes and we do not.
    save(tmp_path, open_model(golden / "llama_v2_gqa"), Scheme(4, None))
    stored = json.loads((tmp_path / "config.json").read_text())
    group = stored["quantization_config"]["config_groups"]["group_0"]
    group["format"] = "pack-quantized"
    group["weights"] |= {
        "actorder": "static",
        "block_structure": None,
        "observer": "minmax",
        "observer_kwargs": {},
        "strategy": None,
    }
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert open_model(tmp_path).quantization is not None


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "method": (lambda c: c.update(quant_method="awq"), "'awq'"),
    "format": (lambda c: c.update(format="marlin-24"), "'marlin-24'"),
    "no groups": (lambda c: c.pop("config_groups"), "malformed"),
    "groups are a list": (lambda c: c.update(config_groups=[1]), "malformed"),
    "bits": (lambda c: weights_of(c).update(num_bits=3), "3-bit"),
    "float": (lambda c: weights_of(c).update(type="float"), "type float"),
    "strategy": (lambda c: weights_of(c).update(strategy="block"), "strategy block"),
    "actorder": (lambda c: weights_of(c).update(actorder="group"), "actorder group"),
    "dynamic": (lambda c: weights_of(c).update(dynamic=True), "dynamic"),
    "group": (lambda c: weights_of(c).update(group_size=-3), "group_size is -3"),
    "activations": (
        lambda c: c["config_groups"]["group_0"].update(input_activations={"num_bits": 8}),
        "activations",
    ),
    "another scheme than the tensors": (
        lambda c: weights_of(c).update(group_size=8),
        "fits none of the schemes",
    ),
}


def weights_of(config: dict[str, Any]) -> dict[str, Any]:
    weights: dict[str, Any] = config["config_groups"]["group_0"]["weights"]
    return weights


@pytest.mark.parametrize("what", WRONG)
def test_configurations_that_are_not_supported(tmp_path: Path, what: str) -> None:
    change, message = WRONG[what]
    stated = config(group_size=16)
    change(stated)
    with pytest.raises(QuantizationError, match=message):
        tensors(
            tmp_path / "x.safetensors",
            stated,
            packed=np.zeros((6, 4), np.int32),
            scale=SCALES,
            shape=SHAPE,
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"packed": np.zeros((6, 3), np.int32)}, "fits none"),
        ({"packed": np.zeros((6, 4), np.int64)}, "fits none"),
        ({"scale": SCALES[:, :1]}, "fits none"),
        ({"scale": SCALES[:5]}, "fits none"),
        ({"shape": np.array([6, 64])}, "fits none"),
        ({"shape": np.array([6.0, 32.0])}, "two sizes"),
        ({"shape": np.array([6, -32])}, "two sizes"),
        ({"shape": np.array([6, 32, 1])}, "two sizes"),
        ({"zero_point": np.zeros((1, 2), np.int32)}, "fits none"),
        ({"shape": None}, "without _shape"),
        ({"scale": None}, "without _scale"),
    ],
)
def test_tensors_that_contradict_each_other(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    whole = {"packed": np.zeros((6, 4), np.int32), "scale": SCALES, "shape": SHAPE}
    parts = {name: array for name, array in (whole | changes).items() if array is not None}
    with pytest.raises(QuantizationError, match=message):
        tensors(tmp_path / "x.safetensors", config(group_size=16), **parts)


def test_a_quantized_weight_of_another_size_than_the_model(golden: Path, tmp_path: Path) -> None:
    save(tmp_path, open_model(golden / "llama_v2_gqa"), Scheme(4, None))
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["num_key_value_heads"] = 4
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(TensorMismatchError, match=r"k_proj\.weight is \[32, 64\]"):
        open_model(tmp_path)


def test_packed_weights_without_a_configuration(golden: Path, tmp_path: Path) -> None:
    save(tmp_path, open_model(golden / "llama_v2_gqa"), Scheme(4, None))
    shutil.copy(golden / "llama_v2_gqa" / "config.json", tmp_path)
    with pytest.raises(QuantizationError, match=r"21 packed weights, but config\.json has no"):
        open_model(tmp_path)
