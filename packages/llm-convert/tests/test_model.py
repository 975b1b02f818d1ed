"""Opening checkpoints of every family, and what is said of those that cannot be opened."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_convert.errors import ConvertError, FileFormatError, TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.files.pdparams import write_pdparams
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import open_model
from llm_kernels.errors import ConfigError, UnknownFamilyError
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward


@pytest.fixture
def llama(golden: Path, tmp_path: Path) -> Path:
    """A copy of a small LLaMA that a test may damage."""
    folder = tmp_path / "llama"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    config |= changes
    kept = {name: value for name, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))


def rewrite(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    arrays = {name: np.array(array) for name, array in tensors.items()}
    write_safetensors(folder / "model.safetensors", infos, arrays.__getitem__)


@pytest.mark.parametrize("files", ["", "sharded", "sharded_bin"])
def test_all_kinds_of_files_give_the_golden_logits(golden: Path, files: str) -> None:
    model = open_model(golden / "llama_v2_gqa" / files)
    expected = np.load(golden / "llama_v2_gqa" / "golden.npz")
    weights = {key: model.dense(key) for key in model.keys()}  # noqa: SIM118
    logits = forward(model.spec, model.sizes, weights, expected["prompt_0"])
    np.testing.assert_allclose(logits, expected["logits_0"], atol=1e-4)


def test_what_a_model_tells(golden: Path) -> None:
    folder = golden / "llama_v2_gqa"
    model = open_model(folder)
    files = open_weights(folder)
    key = ParameterKey("q", 1)
    stored = files["model.layers.1.self_attn.q_proj.weight"]
    assert model.path == folder
    assert (model.naming, model.quantization, model.without_prefix) == ("hf", None, False)
    assert model.config["num_key_value_heads"] == model.sizes.kv_heads == 2
    assert model.parameters[key] == stored.shape
    assert model.dtype(key) == np.float32
    np.testing.assert_array_equal(model.weight(key), stored)
    assert not model.weight(key).flags.owndata  # type: ignore[union-attr]
    assert model.dense(key, ml_dtypes.bfloat16).dtype == ml_dtypes.bfloat16
    model.release(key)
    np.testing.assert_array_equal(model.dense(key), stored)
    with pytest.raises(KeyError):
        model.weight(ParameterKey("q", 99))


def test_pdparams_with_paddlenlp_names(golden: Path, tmp_path: Path) -> None:
    source = open_safetensors(golden / "llama_v2_gqa" / "model.safetensors")
    tensors = {}
    for name in source:
        array = source[name].T if "_proj" in name or "lm_head" in name else source[name]
        tensors[name.replace("model.", "llama.")] = array
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_pdparams(tmp_path / "model_state.pdparams", infos, tensors.__getitem__)
    shutil.copy(golden / "llama_v2_gqa" / "config.json", tmp_path)
    model, expected = open_model(tmp_path), open_model(golden / "llama_v2_gqa")
    assert model.naming == "paddlenlp"
    for key in expected.parameters:
        np.testing.assert_array_equal(model.dense(key), expected.dense(key))


def test_missing_folders_and_configurations(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="does not exist"):
        open_model(tmp_path / "none")
    with pytest.raises(ConvertError, match="is a file"):
        open_model(llama / "config.json")
    (llama / "config.json").unlink()
    with pytest.raises(ConvertError, match=r"has no config\.json \(it holds model\.safetensors\)"):
        open_model(llama)
    (llama / "model.safetensors").unlink()
    with pytest.raises(ConvertError, match="nor does it hold weights"):
        open_model(llama)


def test_broken_configurations(llama: Path) -> None:
    change_config(llama, intermediate_size=...)
    with pytest.raises(ConfigError, match=rf"^{llama}: .*intermediate_size"):
        open_model(llama)
    change_config(llama, architectures=["NoSuchModel"])
    with pytest.raises(UnknownFamilyError, match=rf"^{llama}: .*NoSuchModel"):
        open_model(llama)
    (llama / "config.json").write_text("{")
    with pytest.raises(FileFormatError, match="valid JSON"):
        open_model(llama)


def test_what_model_type_adds(llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_config(llama, architectures=...)
    assert open_model(llama).spec.name == "llama"
    assert not caplog.text
    change_config(llama, architectures=["LlamaForCausalLM"], model_type="gptj")
    assert open_model(llama).spec.name == "llama"
    assert f"{llama / 'config.json'}: model_type is 'gptj', but" in caplog.text


def test_missing_weights_and_truncated_files(llama: Path) -> None:
    path = llama / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="truncated"):
        open_model(llama)
    path.unlink()
    with pytest.raises(FileFormatError, match="holds no weights"):
        open_model(llama)


def test_all_wrong_tensors_are_listed_at_once(llama: Path) -> None:
    files = open_safetensors(llama / "model.safetensors")
    tensors = {name: files[name] for name in files}
    del tensors["model.norm.weight"]
    del tensors["model.layers.2.mlp.up_proj.weight"]
    tensors["model.layers.0.extra.weight"] = np.ones(3, np.float32)
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:-1]
    rewrite(llama, tensors)
    with pytest.raises(TensorMismatchError) as caught:
        open_model(llama)
    for part in (
        "model.safetensors",
        "model.norm.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.extra.weight",
        "lm_head.weight is [255, 64], expected [256, 64]",
    ):
        assert part in str(caught.value)


def test_a_config_of_another_size_is_a_mismatch(llama: Path) -> None:
    change_config(llama, num_key_value_heads=4)
    with pytest.raises(TensorMismatchError, match="k_proj"):
        open_model(llama)


def test_a_tied_head_that_is_stored_must_equal_the_embedding(llama: Path) -> None:
    files = open_safetensors(llama / "model.safetensors")
    tensors = {name: np.array(files[name]) for name in files}
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    rewrite(llama, tensors)
    change_config(llama, tie_word_embeddings=True)
    assert ParameterKey("head") not in open_model(llama).parameters
    tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1
    rewrite(llama, tensors)
    with pytest.raises(TensorMismatchError, match="ties the head"):
        open_model(llama)


def test_an_unknown_quantization_is_refused(llama: Path) -> None:
    change_config(llama, quantization_config={"quant_method": "awq", "bits": 4})
    with pytest.raises(ConvertError, match="'awq'"):
        open_model(llama)
