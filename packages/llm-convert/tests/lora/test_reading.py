"""Adapters of PEFT against its own logits, of PaddleNLP against its own delta, and wrong ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from llm_convert.errors import AdapterError, FileFormatError
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.lora import LoraAdapter, is_lora, merged, read_lora
from llm_convert.model import Model, open_model
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward


def largest_difference(model: Model, adapter: LoraAdapter, expected: Any) -> float:
    weight = merged(model, adapter)
    weights = {key: weight(key) for key in model.parameters}
    worst = 0.0
    for row in range(len(expected["input_ids"])):
        seen = expected["attention_mask"][row].astype(bool)
        logits = forward(model.spec, model.sizes, weights, expected["input_ids"][row][seen])
        worst = max(worst, float(np.abs(logits - expected["logits"][row][seen]).max()))
    return worst


@pytest.mark.parametrize(
    ("base", "lora"), [("llama_v2_gqa", "lora_llama_v2_gqa"), ("gpt2", "lora_gpt2")]
)
def test_merged_logits_are_those_of_peft(golden: Path, base: str, lora: str) -> None:
    model = open_model(golden / base)
    adapter = read_lora(golden / lora, model)
    assert largest_difference(model, adapter, np.load(golden / lora / "golden.npz")) < 1e-4


def test_what_an_adapter_tells(golden: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    adapter = read_lora(golden / "lora_llama_v2_gqa", model)
    assert (adapter.rank, adapter.alpha, adapter.scaling) == (4, 8, 2.0)
    assert set(adapter.pairs) == {ParameterKey(slot, i) for slot in "qv" for i in range(3)}
    a, b = adapter.pairs[ParameterKey("v", 1)]
    assert (a.shape, b.shape) == ((64, 4), (4, 32))
    assert is_lora(golden / "lora_llama_v2_gqa")
    assert not is_lora(golden / "llama_v2_gqa")


def test_paddlenlp_adapters_add_what_paddlenlp_adds(golden: Path, tmp_path: Path) -> None:
    # The formula of paddlenlp.peft.lora.LoRALinear: weight + lora_A @ lora_B * scaling, [in, out].
    model = open_model(golden / "llama_v2_gqa")
    rng = np.random.default_rng(1)
    state = {}
    for layer in range(3):
        for name, outputs in (("q_proj", 64), ("k_proj", 32)):
            stem = f"llama.layers.{layer}.self_attn.{name}"
            state[f"{stem}.lora_A"] = rng.normal(size=(64, 8)).astype(np.float32)
            state[f"{stem}.lora_B"] = rng.normal(size=(8, outputs)).astype(np.float32)
    paddle.save(
        {name: paddle.to_tensor(array) for name, array in state.items()},
        str(tmp_path / "lora_model_state.pdparams"),
    )
    config = {"r": 8, "lora_alpha": 24, "target_modules": [".*q_proj.*", ".*k_proj.*"]}
    (tmp_path / "lora_config.json").write_text(json.dumps(config))
    weight = merged(model, read_lora(tmp_path, model))
    stem = "llama.layers.1.self_attn.k_proj"
    delta = state[f"{stem}.lora_A"].astype(np.float64) @ state[f"{stem}.lora_B"] * 3.0
    key = ParameterKey("k", 1)
    np.testing.assert_allclose(weight(key), model.dense(key) + delta.T, rtol=1e-5, atol=1e-5)
    other = ParameterKey("down", 1)
    np.testing.assert_array_equal(weight(other), model.dense(other))


class Editable:
    """A copy of the golden PEFT adapter that a test may change."""

    def __init__(self, golden: Path, folder: Path) -> None:
        self.folder = folder
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy(golden / "lora_llama_v2_gqa" / name, folder)
        files = open_safetensors(folder / "adapter_model.safetensors")
        self.tensors = {name: np.array(files[name]) for name in files}
        self.model = open_model(golden / "llama_v2_gqa")

    def read(self, **config: Any) -> LoraAdapter:
        infos = {name: TensorInfo(a.dtype, a.shape) for name, a in self.tensors.items()}
        write_safetensors(
            self.folder / "adapter_model.safetensors", infos, self.tensors.__getitem__
        )
        path = self.folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return read_lora(self.folder, self.model)


@pytest.fixture
def adapter(golden: Path, tmp_path: Path) -> Editable:
    return Editable(golden, tmp_path)


STEM = "base_model.model.model.layers.1.self_attn.q_proj"


def test_rank_stabilized_scaling(adapter: Editable) -> None:
    assert adapter.read(use_rslora=True).scaling == 8 / 2


def test_patterns_of_rank_and_alpha(adapter: Editable) -> None:
    adapter.tensors[f"{STEM}.lora_A.weight"] = np.ones((2, 64), np.float32)
    adapter.tensors[f"{STEM}.lora_B.weight"] = np.ones((64, 2), np.float32)
    read = adapter.read(
        rank_pattern={r"layers\.1\.self_attn\.q_proj": 2}, alpha_pattern={"v_proj": 16}
    )
    assert read.scaling == 2
    assert read.scaling_of(ParameterKey("q", 0)) == 2
    assert read.scaling_of(ParameterKey("q", 1)) == 4
    assert read.scaling_of(ParameterKey("v", 2)) == 4
    np.testing.assert_array_equal(read.delta(ParameterKey("q", 1)), np.full((64, 64), 8.0))


def test_modules_trained_in_full_replace_the_base(adapter: Editable) -> None:
    head = np.random.default_rng(2).normal(size=(256, 64)).astype(np.float32)
    adapter.tensors["base_model.model.lm_head.weight"] = head
    read = adapter.read(modules_to_save=["lm_head"])
    np.testing.assert_array_equal(merged(adapter.model, read)(ParameterKey("head")), head)


def test_an_adapter_of_other_modules_is_refused(adapter: Editable, golden: Path) -> None:
    adapter.tensors = {n.replace("layers.1", "layers.7"): a for n, a in adapter.tensors.items()}
    with pytest.raises(AdapterError, match=r"4 of 12 tensors .* match no module") as caught:
        adapter.read()
    assert "layers.7.self_attn.q_proj.lora_A.weight" in str(caught.value)
    with pytest.raises(AdapterError, match="match no module"):
        read_lora(golden / "lora_gpt2", adapter.model)


def test_incomplete_pairs_are_refused(adapter: Editable) -> None:
    del adapter.tensors[f"{STEM}.lora_B.weight"]
    with pytest.raises(AdapterError, match="1 of 11 tensors"):
        adapter.read()


def test_an_empty_adapter_is_refused(adapter: Editable) -> None:
    adapter.tensors = {}
    with pytest.raises(AdapterError, match="adapts nothing"):
        adapter.read()


@pytest.mark.parametrize(
    ("name", "shape"), [("lora_A", (4, 63)), ("lora_A", (3, 64)), ("lora_B", (63, 4))]
)
def test_pairs_of_another_shape_are_refused(
    adapter: Editable, name: str, shape: tuple[int, int]
) -> None:
    adapter.tensors[f"{STEM}.{name}.weight"] = np.ones(shape, np.float32)
    with pytest.raises(AdapterError, match=r"q_proj has A .*; the linear is \[64, 64\]"):
        adapter.read()


@pytest.mark.parametrize(
    "config",
    [
        {"peft_type": "LOHA"},
        {"use_dora": True},
        {"lora_bias": True},
        {"layer_replication": [[0, 1]]},
        {"target_parameters": ["x"]},
    ],
)
def test_other_methods_are_refused_by_name(adapter: Editable, config: dict[str, Any]) -> None:
    ((name, _),) = config.items()
    with pytest.raises(AdapterError, match=f"{name}=.*not plain LoRA"):
        adapter.read(**config)


@pytest.mark.parametrize("value", [0, -1, None, "8", True])
def test_ranks_that_are_none(adapter: Editable, value: Any) -> None:
    with pytest.raises(AdapterError, match="r="):
        adapter.read(r=value)


@pytest.mark.parametrize(
    "config", [{"pissa": True}, {"use_mora": True}, {"tensor_parallel_degree": 2}]
)
def test_other_methods_of_paddlenlp(golden: Path, tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "lora_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 8, **config}))
    with pytest.raises(AdapterError, match="not plain LoRA"):
        read_lora(tmp_path, open_model(golden / "llama_v2_gqa"))


def test_folders_without_an_adapter(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "llama_v2_gqa")
    with pytest.raises(AdapterError, match=r"lora_config\.json and adapter_config\.json"):
        read_lora(tmp_path, model)
    (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8, "peft_type": "LORA"}')
    with pytest.raises(FileFormatError, match="adapter_model"):
        read_lora(tmp_path, model)


@pytest.mark.parametrize("stated", [{"r": 8}, {"r": 2}, {"rank_pattern": {"q_proj": 3}}])
def test_a_rank_that_the_matrices_do_not_have_is_refused(
    golden: Path, tmp_path: Path, stated: dict[str, Any]
) -> None:
    """Scaling is alpha / r: merged with another rank, the adapter would be too strong or weak."""
    folder = shutil.copytree(golden / "lora_llama_v2_gqa", tmp_path / "a")
    config = json.loads((folder / "adapter_config.json").read_text()) | stated
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(AdapterError, match=r"states rank \d for .*have rank 4"):
        read_lora(folder, open_model(golden / "llama_v2_gqa"))
