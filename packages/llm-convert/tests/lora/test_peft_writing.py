"""PEFT's files as we write them: what the configuration says, and the way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.errors import AdapterError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.lora import LoraAdapter, read_lora, write_peft
from llm_convert.model import Model, open_model
from llm_kernels.families import ParameterKey


def pair(model: Model, key: ParameterKey, rank: int) -> tuple[np.ndarray, np.ndarray]:
    outputs, inputs = model.parameters[key]
    rng = np.random.default_rng(rank)
    return (
        rng.standard_normal((inputs, rank)).astype(np.float32),
        rng.standard_normal((rank, outputs)).astype(np.float32),
    )


def written(folder: Path, model: Model, adapter: LoraAdapter) -> dict[str, Any]:
    write_peft(folder, adapter, spec=model.spec, sizes=model.sizes, lora_dropout=0.1)
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    return config


def test_ranks_and_scalings_of_single_modules_are_patterns(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    keys = [ParameterKey("q", layer) for layer in range(3)]
    pairs = {key: pair(model, key, rank) for key, rank in zip(keys, (4, 2, 4), strict=True)}
    adapter = LoraAdapter(4, 8, 2.0, pairs, {keys[2]: 0.3})
    config = written(tmp_path, model, adapter)
    assert config["target_modules"] == ["q_proj"]
    assert config["rank_pattern"] == {r"model\.layers\.1\.self_attn\.q_proj": 2}
    assert config["alpha_pattern"] == {
        r"model\.layers\.1\.self_attn\.q_proj": 4,
        r"model\.layers\.2\.self_attn\.q_proj": 1.2,
    }
    assert (config["lora_alpha"], config["lora_dropout"]) == (8, 0.1)
    back = read_lora(tmp_path, model)
    assert [back.scaling_of(key) for key in keys] == pytest.approx([2.0, 2.0, 0.3], rel=1e-12)
    for key in keys:
        for found, expected in zip(back.pairs[key], pairs[key], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_part_of_the_layers_is_named_in_full(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    key = ParameterKey("down", 1)
    config = written(tmp_path, model, LoraAdapter(2, 2, 1.0, {key: pair(model, key, 2)}))
    assert config["target_modules"] == ["model.layers.1.mlp.down_proj"]


def test_ends_that_mean_other_modules_too_are_longer(golden: Path, tmp_path: Path) -> None:
    # GPT-2 calls two linears of a block c_proj; its weights are stored [in, out].
    model = open_model(golden / "gpt2")
    keys = [ParameterKey("out", layer) for layer in range(model.sizes.layers)]
    config = written(
        tmp_path, model, LoraAdapter(2, 2, 1.0, {key: pair(model, key, 2) for key in keys})
    )
    assert config["target_modules"] == ["attn.c_proj"]
    assert config["fan_in_fan_out"] is True


def test_whole_parameters_and_biases(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "qwen2")
    q = ParameterKey("q", 0)
    bias, other = q._replace(leaf="bias"), ParameterKey("v", 1, leaf="bias")
    head = ParameterKey("head")
    replaced = {key: model.dense(key) + 1 for key in (bias, other, head)}
    config = written(tmp_path, model, LoraAdapter(2, 2, 1.0, {q: pair(model, q, 2)}, {}, replaced))
    assert (config["bias"], config["modules_to_save"]) == ("all", ["lm_head"])
    names = set(open_safetensors(tmp_path / "adapter_model.safetensors"))
    stem = "base_model.model.model.layers."
    assert names >= {
        f"{stem}0.self_attn.q_proj.base_layer.bias",
        f"{stem}1.self_attn.v_proj.bias",
        "base_model.model.lm_head.weight",
    }
    back = read_lora(tmp_path, model)
    assert back.replaced.keys() == replaced.keys()
    for key, array in replaced.items():
        np.testing.assert_array_equal(back.replaced[key], array)


def test_an_adapter_of_another_family(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "bloom")
    pairs = {ParameterKey("gate", 0): (np.ones((4, 2), np.float32), np.ones((2, 4), np.float32))}
    with pytest.raises(AdapterError, match=r"no weights layers\.0\.gate\.weight to adapt"):
        write_peft(tmp_path, LoraAdapter(2, 2, 1.0, pairs), spec=model.spec, sizes=model.sizes)
