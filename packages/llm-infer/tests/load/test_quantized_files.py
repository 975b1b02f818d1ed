"""Quantized checkpoints of others, run as the reference runs the very weights of the file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_convert.errors import QuantizationError
from llm_convert.model import open_model
from llm_infer.engine import SamplingParams
from llm_infer.errors import UnsupportedError
from llm_infer.load import Backend, CacheSettings, Precision, load_engine
from llm_kernels.reference_decoder import forward

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj")


def rounded_by_row(stem, dense):
    """int8 by row, inputs by token (compressed-tensors, int-quantized)."""
    scale = np.abs(dense).max(axis=1, keepdims=True) / 127
    return {
        f"{stem}.weight": np.rint(dense / scale).astype(np.int8),
        f"{stem}.weight_scale": scale.astype(np.float32),
    }


def int4_by_row(stem, dense):
    """int4 by row, eight codes a word of 32 bits, the last one filled up (compressed-tensors)."""
    rows, columns = dense.shape
    scale = np.abs(dense).max(axis=1, keepdims=True) / 7
    codes = np.full((rows, -(-columns // 8) * 8), 15, np.uint32)
    codes[:, :columns] = np.rint(dense / scale) + 8
    shifts = np.arange(0, 32, 4, dtype=np.uint32)
    words = (codes.reshape(rows, -1, 8) << shifts).sum(axis=2, dtype=np.uint32)
    return {
        f"{stem}.weight_packed": words.view(np.int32),
        f"{stem}.weight_scale": scale.astype(np.float32),
        f"{stem}.weight_shape": np.array([rows, columns], np.int64),
    }


def gptq(stem, dense):
    """int4 in groups of 16 inputs, around zeros of their own (GPTQ v1)."""
    columns = np.ascontiguousarray(dense.T)
    grouped = columns.reshape(-1, 16, columns.shape[1])
    low, high = grouped.min(axis=1), grouped.max(axis=1)
    scale = np.maximum((high - low) / 15, 1e-4)
    zero = np.clip(np.rint(-low / scale), 1, 15)
    codes = np.clip(np.rint(grouped / scale[:, None] + zero[:, None]), 0, 15)
    codes = codes.reshape(columns.shape)

    def words(values):
        parts = values.astype(np.uint32).reshape(-1, 8, values.shape[1])
        shifts = np.arange(0, 32, 4, dtype=np.uint32)[None, :, None]
        return (parts << shifts).sum(axis=1, dtype=np.uint32).view(np.int32)

    return {
        f"{stem}.qweight": words(codes),
        f"{stem}.qzeros": np.ascontiguousarray(words((zero - 1).T).T),
        f"{stem}.scales": scale.astype(np.float16),
        f"{stem}.g_idx": (np.arange(len(columns)) // 16).astype(np.int32),
    }


FORMATS = {
    "int-quantized": (
        rounded_by_row,
        {
            "quant_method": "compressed-tensors",
            "format": "int-quantized",
            "config_groups": {
                "group_0": {
                    "weights": {"num_bits": 8, "strategy": "channel"},
                    "input_activations": {"num_bits": 8, "strategy": "token", "dynamic": True},
                }
            },
        },
    ),
    "pack-quantized": (
        int4_by_row,
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "strategy": "channel"}}},
        },
    ),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": False}),
}


def quantized(source, folder, name, linears=LINEARS):
    """The model `source` in `folder`, with `linears` in the format `name`."""
    write, config = FORMATS[name]
    shutil.copytree(source, folder)
    (folder / "pytorch_model.bin").unlink(missing_ok=True)
    tensors = load_file(folder / "model.safetensors")
    for linear in [key for key in tensors if key.split(".")[-2] in linears]:
        dense = tensors.pop(linear).astype(np.float32)
        tensors |= write(linear.removesuffix(".weight"), dense)
    save_file(tensors, folder / "model.safetensors")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "quantization_config": config}))
    return folder


@pytest.mark.parametrize(
    ("name", "linears"),
    [
        ("int-quantized", LINEARS),
        ("gptq", LINEARS),
        # Rows of 172 inputs: no whole number of words.
        ("pack-quantized", (*LINEARS, "gate_proj", "up_proj", "down_proj")),
    ],
)
def test_the_weights_of_the_file_are_run(golden, tmp_path, name, linears):
    folder = quantized(golden / "llama_v2_gqa", tmp_path / "m", name, linears)
    model = open_model(folder)
    engine = load_engine(
        folder, cache=CacheSettings(cachekv_dtype="float32"), backend=Backend(threads=1)
    )
    tokens = [5, 6, 7, 8, 9]
    params = SamplingParams(max_new_tokens=5, ignore_eos=True, logprobs=0)
    for event in engine.submit(tokens, params):
        logits = forward(model.spec, model.sizes, model.weight, tokens)[-1].astype(np.float64)
        expected = logits - np.log(np.exp(logits).sum())
        assert event.logprobs.logprob == pytest.approx(expected[event.token_id], abs=1e-3)
        assert event.token_id == expected.argmax()
        tokens.append(event.token_id)
    engine.close()


def narrower(source, folder, width):
    """The model `source` in `folder`, its MLP cut to `width` inner numbers."""
    shutil.copytree(source, folder)
    tensors = load_file(folder / "model.safetensors")
    for name, value in tensors.items():
        if "mlp" in name:
            cut = value[:, :width] if "down" in name else value[:width]
            tensors[name] = np.ascontiguousarray(cut)
    save_file(tensors, folder / "model.safetensors")
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "intermediate_size": width}))
    return folder


def test_odd_rows_of_int4_are_refused_with_what_to_do(golden, tmp_path):
    odd = narrower(golden / "llama_v2_gqa", tmp_path / "odd", 171)
    (odd / "pytorch_model.bin").unlink(missing_ok=True)
    with pytest.raises(UnsupportedError, match=r"171 inputs.* even .*weight_only_int8"):
        load_engine(odd, precision=Precision(quant_type="weight_only_int4"))
    folder = quantized(odd, tmp_path / "m", "pack-quantized", ("down_proj",))
    with pytest.raises(QuantizationError, match=r"171 columns .* leave this linear unquantized"):
        load_engine(folder)
    load_engine(odd, precision=Precision(quant_type="weight_only_int8")).close()
