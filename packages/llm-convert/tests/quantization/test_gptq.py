"""GPTQ checkpoints: the codes of the file, wherever the zeros and groups lie."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_convert.errors import QuantizationError
from llm_convert.model import open_model
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight

SLOTS = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "o_proj": "out"}


def packed(codes, bits):
    """Codes [R, C] as int32 [R * bits / 32, C], along the first axis, the first in the low bits."""
    each = 32 // bits
    parts = codes.astype(np.uint32).reshape(-1, each, codes.shape[1])
    shifts = (np.arange(each, dtype=np.uint32) * bits)[None, :, None]
    return (parts << shifts).sum(axis=1, dtype=np.uint32).view(np.int32)


def checkpoint(golden, folder, *, bits=4, group=16, even=True, act_order=False, version=1):
    """`llama_v2_gqa` with random GPTQ linears, and the weights that they stand for."""
    shutil.copytree(golden / "llama_v2_gqa", folder)
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    random = np.random.default_rng(bits)
    expected = {}
    for name in [name for name in tensors if name.split(".")[-2] in SLOTS]:
        rows, columns = tensors.pop(name).shape
        size = columns if group == -1 else group
        groups = columns // size
        codes = random.integers(0, 1 << bits, (columns, rows))
        middle = 1 << (bits - 1)
        zeros = np.full((groups, rows), middle)
        if not even:
            zeros = random.integers(1, 1 << bits, (groups, rows))
        scales = random.uniform(0.01, 0.1, (groups, rows)).astype(np.float16)
        index = np.arange(columns) // size
        if act_order:
            index = random.permutation(index)
        stem = name.removesuffix(".weight")
        tensors[f"{stem}.qweight"] = packed(codes, bits)
        tensors[f"{stem}.qzeros"] = np.ascontiguousarray(packed((zeros - (version == 1)).T, bits).T)
        tensors[f"{stem}.scales"] = scales
        tensors[f"{stem}.g_idx"] = index.astype(np.int32)
        expected[name] = ((codes - zeros[index]) * scales.astype(np.float32)[index]).T
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "gptq",
        "bits": bits,
        "group_size": group,
        "desc_act": act_order,
        "checkpoint_format": "gptq" if version == 1 else "gptq_v2",
    }
    (folder / "config.json").write_text(json.dumps(config))
    return expected


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, Int4Weight),
        ({"group": -1}, Int4Weight),
        ({"even": False}, Int4Weight),
        ({"version": 2, "even": False}, Int4Weight),
        ({"bits": 8}, Int8Weight),
        ({"bits": 8, "group": -1, "version": 2}, Int8Weight),
        ({"bits": 8, "even": False}, np.ndarray),
        ({"act_order": True}, np.ndarray),
        ({"act_order": True, "even": False, "group": 32}, np.ndarray),
    ],
)
def test_weights_are_those_of_the_file(golden, tmp_path, settings, kind):
    expected = checkpoint(golden, tmp_path / "m", **settings)
    model = open_model(tmp_path / "m")
    for name, wanted in expected.items():
        parts = name.split(".")
        key = ParameterKey(SLOTS[parts[-2]], int(parts[2]))
        weight = model.weight(key)
        assert isinstance(weight, kind)
        if not isinstance(weight, np.ndarray):
            # Kernels take rows as they lie.
            assert weight.scales.flags.c_contiguous
        np.testing.assert_allclose(model.dense(key), wanted, rtol=1e-6, atol=1e-6)
        model.release(key)
    assert model.weight(ParameterKey("embed")).dtype == np.float32


def test_an_int4_weight_keeps_the_zeros_of_the_file_only_where_they_differ(golden, tmp_path):
    checkpoint(golden, tmp_path / "even")
    checkpoint(golden, tmp_path / "odd", even=False)
    key = ParameterKey("q", 0)
    assert open_model(tmp_path / "even").weight(key).zeros is None
    assert open_model(tmp_path / "odd").weight(key).zeros is not None


def test_what_is_no_gptq_is_named(golden, tmp_path):
    checkpoint(golden, tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    config = json.loads(file.read_text())
    config["quantization_config"]["bits"] = 3
    file.write_text(json.dumps(config))
    with pytest.raises(QuantizationError, match="bits 3"):
        open_model(tmp_path / "m")
    config["quantization_config"]["bits"] = 4
    file.write_text(json.dumps(config))
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    name = next(name for name in tensors if name.endswith(".scales"))
    scales = tensors.pop(name)
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    with pytest.raises(QuantizationError, match="without scales"):
        open_model(tmp_path / "m")
    save_file({**tensors, name: scales[:, :-1].copy()}, tmp_path / "m" / "model.safetensors")
    with pytest.raises(QuantizationError, match="scales has shape"):
        open_model(tmp_path / "m")
