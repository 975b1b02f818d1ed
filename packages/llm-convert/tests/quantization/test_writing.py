"""The configuration that is written, and weights that are not what was announced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_convert.errors import QuantizationError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.model import Model, open_model, save_model
from llm_convert.quantization import Quantization, Scheme
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight

DOWN = ParameterKey("down", 0)


@pytest.fixture
def llama(golden: Path) -> Model:
    return open_model(golden / "llama_v2_gqa")


def save(folder: Path, model: Model, quantization: Quantization, **options: Any) -> dict[str, Any]:
    def weight(key: ParameterKey) -> Any:
        scheme = quantization.schemes.get(key)
        if scheme is None:
            return model.weight(key)
        if scheme.num_bits == 4:
            return Int4Weight.from_dense(model.dense(key), scheme.group_size, scheme.symmetric)
        return Int8Weight.from_dense(model.dense(key), scheme.group_size)

    arguments: dict[str, Any] = {"naming": "hf", "parameters": weight, **options}
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        quantization=quantization,
        **arguments,
    )
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def test_one_scheme_for_all_linears(llama: Model, tmp_path: Path) -> None:
    quantization = Quantization.uniform(llama.spec, llama.sizes, Scheme(4, None))
    config = save(tmp_path, llama, quantization)["quantization_config"]
    assert config == {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {
                    "num_bits": 4,
                    "type": "int",
                    "symmetric": True,
                    "strategy": "channel",
                    "group_size": None,
                    "dynamic": False,
                },
                "input_activations": None,
                "output_activations": None,
            }
        },
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }
    files = open_safetensors(tmp_path / "model.safetensors")
    stem = "model.layers.0.mlp.down_proj.weight"
    assert files.info(f"{stem}_packed") == (np.int32, (64, 22))
    assert files.info(f"{stem}_scale") == (np.float32, (64, 1))
    assert files[f"{stem}_shape"].tolist() == [64, 172]
    assert stem not in files


def test_several_schemes_name_their_modules(llama: Model, tmp_path: Path) -> None:
    schemes = {
        DOWN: Scheme(8, 4),
        ParameterKey("up", 0): Scheme(4, 64, symmetric=False),
        ParameterKey("up", 1): Scheme(4, 64, symmetric=False),
    }
    config = save(tmp_path, llama, Quantization(schemes))["quantization_config"]
    groups = [(group["targets"], group["weights"]) for group in config["config_groups"].values()]
    assert [targets for targets, _ in groups] == [
        ["model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj"],
        ["model.layers.0.mlp.down_proj"],
    ]
    assert groups[0][1]["group_size"] == 64
    assert {"lm_head", "model.layers.2.mlp.up_proj"} < set(config["ignore"])
    again = open_model(tmp_path)
    assert again.quantization is not None
    assert again.quantization.schemes == schemes


def test_scales_are_stored_in_the_type_of_the_model(llama: Model, tmp_path: Path) -> None:
    quantization = Quantization.uniform(llama.spec, llama.sizes, Scheme(4, None))
    save(tmp_path, llama, quantization, dtype="bfloat16")
    again = open_model(tmp_path)
    assert again.dtype(DOWN) == ml_dtypes.bfloat16
    expected = Int4Weight.from_dense(llama.dense(DOWN)).scales.astype(ml_dtypes.bfloat16)
    read = again.weight(DOWN)
    assert isinstance(read, Int4Weight)
    np.testing.assert_array_equal(read.scales, expected.astype(np.float32))


def test_routers_stay_dense(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "qwen2_moe")
    quantization = Quantization.uniform(model.spec, model.sizes, Scheme(8, None))
    config = save(tmp_path, model, quantization)["quantization_config"]
    ignored = set(config["ignore"])
    assert "model.layers.0.mlp.gate" in ignored
    assert "model.layers.0.mlp.shared_expert_gate" in ignored
    assert not [name for name in ignored if "proj" in name or "norm" in name]


def test_skipped_keys_stay_dense(llama: Model, tmp_path: Path) -> None:
    skip = frozenset({DOWN})
    quantization = Quantization.uniform(llama.spec, llama.sizes, Scheme(4, None), skip)
    config = save(tmp_path, llama, quantization)["quantization_config"]
    assert config["ignore"] == ["model.layers.0.mlp.down_proj", "lm_head"]
    np.testing.assert_array_equal(open_model(tmp_path).weight(DOWN), llama.weight(DOWN))


@pytest.mark.parametrize(
    ("scheme", "weight", "message"),
    [
        (Scheme(4, None), lambda d: d, "announced as 4-bit"),
        (Scheme(4, None), Int8Weight.from_dense, "is a Int8Weight"),
        (Scheme(8, None), Int4Weight.from_dense, "is a Int4Weight"),
        (Scheme(8, 4), Int8Weight.from_dense, "groups of 4"),
        (Scheme(4, None, symmetric=False), Int4Weight.from_dense, "no zero points"),
    ],
)
def test_weights_that_are_not_as_announced(
    llama: Model, tmp_path: Path, scheme: Scheme, weight: Any, message: str
) -> None:
    def parameters(key: ParameterKey) -> Any:
        return weight(llama.dense(key)) if key == DOWN else llama.weight(key)

    with pytest.raises(QuantizationError, match=message):
        save(tmp_path, llama, Quantization({DOWN: scheme}), parameters=parameters)


def test_a_quantized_weight_where_a_dense_one_was_announced(llama: Model, tmp_path: Path) -> None:
    def parameters(key: ParameterKey) -> Any:
        return Int8Weight.from_dense(llama.dense(key)) if key == DOWN else llama.weight(key)

    with pytest.raises(QuantizationError, match="Dequantize it first"):
        save(tmp_path, llama, Quantization({}), parameters=parameters)


def test_paddlenlp_names_cannot_hold_packed_weights(llama: Model, tmp_path: Path) -> None:
    quantization = Quantization.uniform(llama.spec, llama.sizes, Scheme(4, None))
    with pytest.raises(QuantizationError, match="'hf'"):
        save(tmp_path, llama, quantization, naming="paddlenlp")


def test_parts_of_a_fused_weight_are_quantized_alike(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "baichuan_7b")
    with pytest.raises(QuantizationError, match="Quantize or skip them together"):
        save(tmp_path, model, Quantization({ParameterKey("q", 0): Scheme(4, None)}))
