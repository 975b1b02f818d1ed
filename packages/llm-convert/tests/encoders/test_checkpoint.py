"""Folders against their tables: what is missing, unknown or misshaped, and which layout it is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from llm_convert.encoders import EncoderCheckpoint, find_encoder, open_encoder
from llm_convert.errors import ConvertError, TensorMismatchError
from llm_convert.files.folder import open_weights
from llm_convert.files.safetensors import write_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import read_config


def opened(folder: Path, **changes: object) -> EncoderCheckpoint:
    config = {**read_config(folder), **changes}
    found = find_encoder({name: value for name, value in config.items() if value is not None})
    assert found is not None
    return open_encoder(folder, config, found)


def with_tensors(source: Path, folder: Path, changes: Mapping[str, np.ndarray | None]) -> Path:
    """A copy of a folder in which some tensors are others, or None: absent."""
    shutil.copytree(source, folder)
    files = open_weights(source)
    arrays = {**{name: files[name] for name in files}, **changes}
    kept = {name: array for name, array in arrays.items() if array is not None}
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in kept.items()}
    write_safetensors(folder / "model.safetensors", infos, kept.__getitem__)
    return folder


def test_a_checkpoint_knows_its_tensors(golden: Path) -> None:
    checkpoint = opened(golden / "encoders" / "bert")
    assert checkpoint.naming == "hf"
    assert checkpoint.prefixed
    entry = checkpoint.named("bert.encoder.layer.1.intermediate.dense.weight")
    assert entry.names["paddlenlp"] == "bert.encoder.layers.1.linear1.weight"
    assert (entry.shapes["hf"], entry.shapes["paddlenlp"]) == ((24, 16), (16, 24))
    stored = open_weights(golden / "encoders" / "bert")[entry.names["hf"]]
    np.testing.assert_array_equal(checkpoint.read(entry, "paddlenlp"), stored.T)


def test_everything_wrong_is_told_at_once(golden: Path, tmp_path: Path) -> None:
    folder = with_tensors(
        golden / "encoders" / "electra_classifier",
        tmp_path / "x",
        {
            "electra.encoder.layer.0.output.dense.weight": None,
            "electra.encoder.layer.1.output.dense.weight": None,
            "classifier.dense.bias": np.zeros(5, np.float32),
            "qa_outputs.weight": np.zeros((2, 16), np.float32),
        },
    )
    with pytest.raises(TensorMismatchError) as caught:
        opened(folder)
    message = str(caught.value)
    assert "2 missing: electra.encoder.layer.{0-1}.output.dense.weight" in message
    assert "1 unknown: qa_outputs.weight" in message
    assert "classifier.dense.bias is [5], expected [16]" in message


def test_a_pooler_is_whole_or_absent(golden: Path, tmp_path: Path) -> None:
    source = golden / "encoders" / "bert_base"
    parts = ("pooler.dense.weight", "pooler.dense.bias")
    opened(with_tensors(source, tmp_path / "without", dict.fromkeys(parts)))
    with pytest.raises(TensorMismatchError, match=r"1 missing: pooler\.dense\.weight"):
        opened(with_tensors(source, tmp_path / "half", {parts[0]: None}))


def test_a_size_that_config_does_not_state(golden: Path) -> None:
    with pytest.raises(ConvertError, match="states intermediate_size as None"):
        opened(golden / "encoders" / "bert", intermediate_size=None)
    with pytest.raises(ConvertError, match=r"states text_config\.vocab_size as 'many'"):
        opened(golden / "encoders" / "clip", text_config={"vocab_size": "many"})


def test_config_of_another_model(golden: Path) -> None:
    with pytest.raises(TensorMismatchError, match=r"is \[24, 16\], expected \[32, 16\]"):
        opened(golden / "encoders" / "roberta", intermediate_size=32)


def test_files_of_both_layouts_are_what_they_are_said_to_be(golden: Path, tmp_path: Path) -> None:
    """A T5 encoder has the same names everywhere; square matrices leave the choice to the user."""
    source = golden / "encoders" / "t5_encoder"
    files = open_weights(source)
    square = {
        name: np.zeros((16, 16), np.float32)
        for name in files
        if "Dense" in name or name.rsplit(".", 2)[1] in "qkvo"
    }
    folder = with_tensors(source, tmp_path / "x", square)
    config = {**read_config(folder), "d_kv": 4, "d_ff": 16}
    found = find_encoder(config)
    assert found is not None
    for naming in ("hf", "paddlenlp"):
        assert open_encoder(folder, config, found, naming).naming == naming
    # Widths that differ decide, whatever was said.
    assert open_encoder(source, read_config(source), found, "paddlenlp").naming == "hf"
