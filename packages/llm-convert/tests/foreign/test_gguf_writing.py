"""GGUF files of ours, read with the package gguf and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError
from llm_convert.foreign.gguf_reading import open_gguf
from llm_convert.foreign.gguf_writing import write_gguf
from llm_convert.model import Model, open_model
from llm_kernels.families import ParameterKey


def write(model: Model, folder: Path, dtype: str) -> Path:
    folder.mkdir()
    return write_gguf(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=model.weight,
        dtype=dtype,
    )


@pytest.mark.parametrize("family", ["llama_v1", "llama_v2_gqa", "llama_v3", "mistral", "qwen3"])
def test_there_and_back_is_exact(golden: Path, tmp_path: Path, family: str) -> None:
    source = open_model(golden / family)
    back = open_gguf(write(source, tmp_path / "x", "float32"))
    assert (replace(back.spec, name=source.spec.name), back.sizes) == (source.spec, source.sizes)
    for key in source.parameters:
        np.testing.assert_array_equal(back.weight(key), source.weight(key))


@pytest.mark.parametrize(
    ("dtype", "kind", "file_type"),
    [("float16", Kind.F16, 1), ("bfloat16", Kind.BF16, 32), ("q8_0", Kind.Q8_0, 7)],
)
def test_what_gguf_reads_in_it(
    golden: Path, tmp_path: Path, dtype: str, kind: Kind, file_type: int
) -> None:
    """Matrices in the type asked for, vectors in float32; q and k as llama.cpp permutes them."""
    source = open_model(golden / "llama_v2_gqa")
    reader = gguf.GGUFReader(write(source, tmp_path / "x", dtype))
    field = reader.get_field
    assert field("general.architecture").contents() == "llama"
    assert field("llama.attention.head_count_kv").contents() == 2
    assert field("general.file_type").contents() == file_type
    from llm_convert.files.safetensors import open_safetensors

    stored = open_safetensors(golden / "llama_v2_gqa" / "model.safetensors")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    wanted = {
        "blk.1.attn_norm.weight": ("model.layers.1.input_layernorm.weight", 0),
        "blk.1.attn_q.weight": ("model.layers.1.self_attn.q_proj.weight", 4),
        "blk.1.attn_k.weight": ("model.layers.1.self_attn.k_proj.weight", 2),
        "blk.2.ffn_up.weight": ("model.layers.2.mlp.up_proj.weight", 0),
        "output.weight": ("lm_head.weight", 0),
    }
    for name, (hub, heads) in wanted.items():
        array = np.array(stored[hub])
        if heads:
            array = array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
        used = kind if array.ndim == 2 else Kind.F32
        assert tensors[name].tensor_type == used
        expected = gguf.quants.quantize(array, used)
        assert tensors[name].data.tobytes() == expected.tobytes(), name


def test_rows_that_are_no_multiple_of_a_block_become_f16(golden: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(write(open_model(golden / "llama_v2_gqa"), tmp_path / "x", "q8_0"))
    kinds = {tensor.name: tensor.tensor_type for tensor in reader.tensors}
    assert kinds["blk.0.ffn_down.weight"] == Kind.F16  # 172 columns
    assert kinds["blk.0.ffn_up.weight"] == Kind.Q8_0


SCALINGS: dict[str, tuple[dict[str, Any], int]] = {
    "linear": ({"rope_type": "linear", "factor": 2.5}, 0),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 256,
        },
        1,
    ),
    "yarn": ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 0),
}


@pytest.fixture
def changed(golden: Path, tmp_path: Path) -> Callable[..., Model]:
    def make(**config: Any) -> Model:
        folder = tmp_path / "changed"
        folder.mkdir()
        stated = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**stated, **config}))
        (folder / "model.safetensors").symlink_to(golden / "llama_v2_gqa" / "model.safetensors")
        return open_model(folder)

    return make


@pytest.mark.parametrize("scaling", SCALINGS)
def test_rope_scalings_come_back(
    changed: Callable[..., Model], tmp_path: Path, scaling: str
) -> None:
    stated, tensors = SCALINGS[scaling]
    source = changed(rope_scaling=stated)
    path = write(source, tmp_path / "x", "float32")
    assert open_gguf(path).sizes == source.sizes
    names = [tensor.name for tensor in gguf.GGUFReader(path).tensors]
    assert names.count("rope_freqs.weight") == tensors


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope_scaling"),
        ({"hidden_act": "gelu"}, "the variant of llama"),
    ],
)
def test_what_gguf_has_no_place_for_is_refused(
    changed: Callable[..., Model], tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConvertError, match=f"have no place for {said}"):
        write(changed(**config), tmp_path / "x", "float32")


def test_families_without_a_table(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="bloom has no files in the naming 'gguf'"):
        write(open_model(golden / "bloom"), tmp_path / "x", "float32")


def test_the_command_both_ways(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, back = tmp_path / "gguf", tmp_path / "back"
    convert(
        ConvertOptions(
            from_torch=str(golden / "qwen2"), output_path=str(written), to="gguf", dtype="float16"
        )
    )
    assert {file.name for file in written.iterdir()} == {
        *("model.gguf", "certificate.json", "llm.json", "COMPLETE")
    }
    assert json.loads((written / "certificate.json").read_text())["mean_kl"] < 1e-4
    (written / "tokenizer.json").write_text("{}")
    options = {"gguf": str(written / "model.gguf"), "output_path": str(back)}
    convert(ConvertOptions(**options, dtype="bfloat16"))
    model, source = open_model(back), open_model(golden / "qwen2")
    assert (model.naming, model.spec) == ("paddlenlp", source.spec)
    assert (back / "tokenizer.json").is_file()
    for key in source.parameters:
        wanted = source.dense(key)
        if wanted.ndim == 2:
            wanted = wanted.astype(np.float16)
        np.testing.assert_array_equal(model.weight(key), wanted.astype(ml_dtypes.bfloat16))
    assert "paddlenlp layout, bfloat16" in capsys.readouterr().out


def test_gguf_is_for_decoders(golden: Path, tmp_path: Path) -> None:
    options = ConvertOptions(
        from_torch=str(golden / "lora_llama_v2_gqa"), output_path=str(tmp_path / "x"), to="gguf"
    )
    with pytest.raises(ConvertError, match="only decoder models can"):
        convert(options)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_codes_of_eight_bits_have_no_place_for_what_is_not_finite(
    golden: Path, tmp_path: Path, wrong: float
) -> None:
    source = open_model(golden / "llama_v2_gqa")
    key = ParameterKey("up", 1)
    weights = {other: source.weight(other) for other in source.parameters}
    weights[key] = weights[key].copy()
    weights[key][3, 5] = wrong
    source.weight = weights.__getitem__  # type: ignore[method-assign]
    with pytest.raises(ConvertError, match="not finite, and Q8_0"):
        write(source, tmp_path / "x", "q8_0")


def test_a_full_disk_is_told_as_one(golden: Path, tmp_path: Path) -> None:
    import resource

    source = open_model(golden / "llama_v2_gqa")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises((ConvertError, OSError), match=r"could not be written whole|too large"):
            write(source, tmp_path / "x", "float32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("family", ["llama_v2_gqa", "qwen2", "qwen3"])
def test_the_config_says_what_transformers_goes_by(
    golden: Path, tmp_path: Path, family: str
) -> None:
    source = open_model(golden / family)
    back = open_gguf(write(source, tmp_path / "x", "float32"))
    assert back.config["model_type"] == source.config["model_type"]
