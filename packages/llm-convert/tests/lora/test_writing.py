"""Adapters written for PaddleNLP and read back, over separate and fused modules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import paddle
import pytest
from paddlenlp.peft import LoRAConfig

from llm_convert.errors import AdapterError
from llm_convert.lora import LoraAdapter, read_lora, write_lora
from llm_convert.model import Model, open_model
from llm_kernels.families import SLOTS, ParameterKey


def random_adapter(
    model: Model, slots: set[str] | None = None, layers: set[int] | None = None
) -> LoraAdapter:
    rng = np.random.default_rng(4)
    pairs = {}
    for key, shape in model.parameters.items():
        wanted = SLOTS[key.slot].adaptable if slots is None else key.slot in slots
        if wanted and key.leaf == "weight" and (layers is None or key.layer in layers):
            pairs[key] = (
                rng.normal(size=(shape[1], 4)).astype(np.float32),
                rng.normal(size=(4, shape[0])).astype(np.float32),
            )
    return LoraAdapter(4, 8, 2.0, pairs)


def write(folder: Path, adapter: LoraAdapter, model: Model, **options: str) -> None:
    write_lora(folder, adapter, spec=model.spec, sizes=model.sizes, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "rank"),
    [
        *(("llama_v2_gqa", 4), ("qwen2_moe", 4), ("mixtral", 4), ("gpt2", 4), ("opt", 4)),
        # q, k and v share a module, so their ranks add up; ChatGLM2's gate and up share one too.
        *(("bloom", 12), ("qwen", 12), ("chatglm2", 12), ("glm", 12)),
    ],
)
def test_families_come_back(golden: Path, tmp_path: Path, family: str, rank: int) -> None:
    model = open_model(golden / family)
    adapter = random_adapter(model)
    write(tmp_path, adapter, model)
    again = read_lora(tmp_path, model)
    assert set(again.pairs) == set(adapter.pairs)
    assert (again.rank, again.scaling) == (rank, 2.0)
    for key in adapter.pairs:
        np.testing.assert_allclose(again.delta(key), adapter.delta(key), rtol=1e-5, atol=1e-5)


def test_a_fused_module_with_one_a_stays_one_pair(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "bloom")
    apart = random_adapter(model, {"q", "k", "v"})
    shared = {}
    for key, (_, b) in apart.pairs.items():
        shared[key] = (apart.pairs[key._replace(slot="q")][0], b)
    adapter = LoraAdapter(4, 8, 2.0, shared)
    write(tmp_path, adapter, model)
    again = read_lora(tmp_path, model)
    assert again.rank == 4
    for key in shared:
        np.testing.assert_array_equal(again.delta(key), adapter.delta(key))


def test_paddle_and_paddlenlp_read_the_files(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    adapter = random_adapter(model, {"q", "down"})
    write(tmp_path, adapter, model, base_model_name_or_path="somewhere")
    config = LoRAConfig.from_pretrained(str(tmp_path))
    assert (config.r, config.lora_alpha, config.scaling) == (4, 8, 2.0)
    assert config.base_model_name_or_path == "somewhere"
    state = paddle.load(str(tmp_path / "lora_model_state.pdparams"), return_numpy=True)
    a, b = adapter.pairs[ParameterKey("down", 2)]
    np.testing.assert_array_equal(state["llama.layers.2.mlp.down_proj.lora_A"], a)
    np.testing.assert_array_equal(state["llama.layers.2.mlp.down_proj.lora_B"], b)
    assert len(state) == 2 * len(adapter.pairs)


@pytest.mark.parametrize("layers", [None, {0, 2}])
def test_target_modules_match_exactly_what_is_adapted(
    golden: Path, tmp_path: Path, layers: set[int] | None
) -> None:
    model = open_model(golden / "llama_v2_gqa")
    adapter = random_adapter(model, {"q", "v"}, layers)
    write(tmp_path, adapter, model)
    config = json.loads((tmp_path / "lora_config.json").read_text())
    names = [
        f"llama.layers.{layer}.{module}"
        for layer in range(3)
        for module in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj")
    ]
    matched = [n for n in names if any(re.fullmatch(p, n) for p in config["target_modules"])]
    assert matched == [
        f"llama.layers.{layer}.self_attn.{slot}_proj"
        for layer in sorted(layers or {0, 1, 2})
        for slot in "qv"
    ]


def test_scalings_that_differ_are_folded_into_b(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    plain = random_adapter(model, {"q"})
    adapter = LoraAdapter(4, 8, 2.0, plain.pairs, scalings={ParameterKey("q", 1): 3.0})
    write(tmp_path, adapter, model)
    again = read_lora(tmp_path, model)
    for key in plain.pairs:
        np.testing.assert_allclose(again.delta(key), adapter.delta(key), rtol=1e-5, atol=1e-5)


def test_modules_trained_in_full_come_back(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    head = np.random.default_rng(2).normal(size=(256, 64)).astype(np.float32)
    pairs = random_adapter(model, {"q"}).pairs
    write(tmp_path, LoraAdapter(4, 8, 2.0, pairs, replaced={ParameterKey("head"): head}), model)
    np.testing.assert_array_equal(read_lora(tmp_path, model).replaced[ParameterKey("head")], head)
    trained = LoRAConfig.from_pretrained(str(tmp_path)).trainable_modules
    assert [re.fullmatch(pattern, "lm_head.weight") is not None for pattern in trained] == [True]


def test_types(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    adapter = random_adapter(model, {"q"})
    write(tmp_path, adapter, model, dtype="bfloat16")
    key = ParameterKey("q", 0)
    a, _ = read_lora(tmp_path, model).pairs[key]
    np.testing.assert_array_equal(a, adapter.pairs[key][0].astype(ml_dtypes.bfloat16))
    assert a.dtype == ml_dtypes.bfloat16


def test_weights_that_the_family_lacks(golden: Path, tmp_path: Path) -> None:
    pairs = {ParameterKey("gate", 0): (np.ones((64, 4)), np.ones((4, 64)))}
    with pytest.raises(AdapterError, match=r"no weights layers\.0\.gate\.weight"):
        write(tmp_path, LoraAdapter(4, 8, 2.0, pairs), open_model(golden / "gpt2"))
