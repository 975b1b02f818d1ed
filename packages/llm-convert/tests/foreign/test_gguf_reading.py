"""GGUF files made with the package gguf, as llama.cpp's scripts make them, read as models."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from llm_convert.errors import ConvertError, FileFormatError, TensorMismatchError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.foreign import gguf_module
from llm_convert.foreign.gguf_reading import GgufTensors, open_gguf
from llm_convert.model import open_model
from llm_kernels.families import Llama3Scaling
from llm_kernels.reference import inverse_frequencies
from llm_kernels.reference_decoder import forward

STEMS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_name(name: str) -> str:
    stem, _, leaf = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, inner = stem.split(".", 3)
        return f"blk.{layer}.{STEMS[inner]}.{leaf}"
    return f"{STEMS[stem]}.{leaf}"


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp does to q and k of LLaMA, for its rotation of adjacent pairs."""
    split = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return split.swapaxes(1, 2).reshape(rows.shape)


def made(golden: Path, family: str, path: Path, kind: Kind = Kind.F32) -> Path:
    """The family's golden checkpoint as GGUF, written by the package gguf alone."""
    model = open_model(golden / family)
    arch, sizes = family.split("_")[0], model.sizes
    writer = gguf.GGUFWriter(path, arch)
    writer.add_context_length(sizes.max_positions)
    writer.add_embedding_length(sizes.hidden)
    writer.add_block_count(sizes.layers)
    writer.add_feed_forward_length(sizes.mlp)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.kv_heads)
    writer.add_key_length(sizes.head_dim)
    writer.add_layer_norm_rms_eps(sizes.eps)
    writer.add_rope_freq_base(sizes.theta)
    writer.add_bos_token_id(1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    tensors = open_safetensors(golden / family / "model.safetensors")
    for name in tensors:
        array = np.array(tensors[name], np.float32)
        for slot, heads in (("q_proj", sizes.heads), ("k_proj", sizes.kv_heads)):
            if slot in name and arch == "llama":
                array = permuted(array, heads)
        fits = array.ndim == 2 and array.shape[1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        used = kind if fits else Kind.F32
        writer.add_tensor(gguf_name(name), gguf.quants.quantize(array, used), raw_dtype=used)
    if isinstance(sizes.rope_scaling, Llama3Scaling):
        rule: Any = model.spec.position
        plain = inverse_frequencies(rule, replace(sizes, rope_scaling=None))
        factors = plain / inverse_frequencies(rule, sizes)
        writer.add_tensor("rope_freqs.weight", factors.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("family", ["llama_v1", "llama_v2_gqa", "llama_v3", "qwen2", "qwen3"])
def test_a_model_of_llama_cpp_is_the_original(golden: Path, tmp_path: Path, family: str) -> None:
    source, model = open_model(golden / family), open_gguf(made(golden, family, tmp_path / "x"))
    assert model.naming == "gguf"
    assert model.spec == source.spec
    assert set(model.parameters) == set(source.parameters)
    for key in source.parameters:
        np.testing.assert_array_equal(model.weight(key), source.weight(key))
    for name in ("hidden", "layers", "heads", "kv_heads", "mlp", "eps", "theta", "tied"):
        assert getattr(model.sizes, name) == getattr(source.sizes, name), name
    arrays = np.load(golden / family / "golden.npz")
    logits = forward(model.spec, model.sizes, model.weight, arrays["prompt_0"])
    np.testing.assert_allclose(logits, arrays["logits_0"], atol=1e-4)


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0])
def test_values_are_those_that_gguf_reads(golden: Path, tmp_path: Path, kind: Kind) -> None:
    path = made(golden, "llama_v2_gqa", tmp_path / "x.gguf", kind)
    ours, theirs = GgufTensors(path), {t.name: t for t in gguf.GGUFReader(path).tensors}
    assert set(ours) == set(theirs)
    used = set()
    for name, tensor in theirs.items():
        used.add(tensor.tensor_type)
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert ours.info(name) == (ours[name].dtype, tuple(reversed(tensor.shape.tolist())))
        np.testing.assert_array_equal(ours[name].astype(np.float32), expected)
        ours.release(name)
        np.testing.assert_array_equal(ours[name].astype(np.float32), expected)
    assert kind in used
    if kind == Kind.BF16:
        assert ours["token_embd.weight"].dtype == ml_dtypes.bfloat16


def test_quantized_values_are_near_the_original(golden: Path, tmp_path: Path) -> None:
    source = open_model(golden / "llama_v2_gqa")
    model = open_gguf(made(golden, "llama_v2_gqa", tmp_path / "x.gguf", Kind.Q8_0))
    for key in source.parameters:
        wanted = source.dense(key)
        assert np.abs(model.dense(key) - wanted).max() <= np.abs(wanted).max() / 127


def test_frequencies_that_no_scaling_gives(golden: Path, tmp_path: Path) -> None:
    path = made(golden, "llama_v2_gqa", tmp_path / "x.gguf")
    writer = gguf.GGUFWriter(tmp_path / "y.gguf", "llama")
    reader = gguf.GGUFReader(path)
    for name, value in GgufTensors(path).metadata.items():
        if name.startswith("llama."):
            add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
            add(name, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.add_tensor("rope_freqs.weight", np.linspace(1, 9, 8, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(FileFormatError, match=r"rope_freqs.weight.*not supported"):
        open_gguf(tmp_path / "y.gguf")


def small(path: Path, arch: str = "llama", kind: Kind = Kind.F32, rows: int = 4) -> Path:
    writer = gguf.GGUFWriter(path, arch)
    writer.add_embedding_length(256)
    data = gguf.quants.quantize(np.ones((rows, 256), np.float32), kind)
    writer.add_tensor("token_embd.weight", data, raw_dtype=kind)
    writer.add_tensor("other.weight", np.ones(3, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_is_not_supported_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"architecture 'mamba'.*llama, qwen2, qwen3"):
        open_gguf(small(tmp_path / "x", "mamba"))
    with pytest.raises(FileFormatError, match=r"stored as Q5_0; supported are F32, F16, BF16"):
        open_gguf(small(tmp_path / "y", kind=Kind.Q5_0))


def test_missing_tensors_are_listed(golden: Path, tmp_path: Path) -> None:
    path = made(golden, "llama_v1", tmp_path / "x")
    data = path.read_bytes().replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_uP.weight")
    path.write_bytes(data)
    with pytest.raises(TensorMismatchError, match=r"1 missing: blk\.0\.ffn_up.*1 unknown"):
        open_gguf(path)


@pytest.mark.parametrize("keep", [0, 3, 20, 60, 150, -1])
def test_truncated_files(tmp_path: Path, keep: int) -> None:
    path = small(tmp_path / "x")
    path.write_bytes(path.read_bytes()[:keep] if keep >= 0 else path.read_bytes()[:-40])
    with pytest.raises(FileFormatError, match=r"truncated|empty"):
        GgufTensors(path)


def test_offsets_and_lengths_that_lie(tmp_path: Path) -> None:
    original = small(tmp_path / "x").read_bytes()
    name = original.index(b"token_embd.weight") + len(b"token_embd.weight")
    # dimensions: count u32, lengths u64; then the type u32 and the offset u64
    for position, value in ((name + 4, 2**62), (name + 4, 2**40), (name + 24, 2**50)):
        data = bytearray(original)
        data[position : position + 8] = struct.pack("<Q", value)
        (tmp_path / "y").write_bytes(data)
        with pytest.raises(FileFormatError):
            GgufTensors(tmp_path / "y")
    overlapping = bytearray(original)
    other = original.index(b"other.weight") + len(b"other.weight") + 4 + 8 + 4
    overlapping[other : other + 8] = struct.pack("<Q", 0)
    (tmp_path / "y").write_bytes(overlapping)
    with pytest.raises(FileFormatError, match="overlap"):
        GgufTensors(tmp_path / "y")


def test_without_the_package_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "llm_convert.foreign.gguf_reading")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConvertError, match=r'tools/install "llm-convert\[gguf\]"'):
        gguf_module("reading")
