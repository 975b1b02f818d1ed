"""Which files of a folder are taken, and what index files may say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_convert.errors import FileFormatError
from llm_convert.files.folder import find_weights, open_file, open_weights
from llm_convert.files.pdparams import write_pdparams
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo

ONE = {"a": np.ones(2, np.float32)}
INFO = {"a": TensorInfo(np.dtype(np.float32), (2,))}


def index(folder: Path, weight_map: Any, name: str = "model.safetensors") -> None:
    (folder / f"{name}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("folder", ["sharded", "sharded_bin"])
def test_shards_equal_the_single_file(golden: Path, folder: str) -> None:
    expected = open_safetensors(golden / "llama_v2_gqa" / "model.safetensors")
    read = open_weights(golden / "llama_v2_gqa" / folder)
    assert set(expected) <= set(read)
    assert len(read) == len(list(read))
    for name in expected:
        assert read.info(name) == expected.info(name)
        np.testing.assert_array_equal(read[name], expected[name])
        read.release(name)


def test_sharded_pdparams(tmp_path: Path) -> None:
    write_pdparams(tmp_path / "one.pdparams", INFO, ONE.__getitem__)
    two = {"b": np.zeros(2, np.float32)}
    write_pdparams(tmp_path / "two.pdparams", {"b": INFO["a"]}, two.__getitem__)
    index(tmp_path, {"a": "one.pdparams", "b": "two.pdparams"}, "model_state.pdparams")
    read = open_weights(tmp_path)
    np.testing.assert_array_equal(read["a"], ONE["a"])
    np.testing.assert_array_equal(read["b"], two["b"])


def test_safetensors_are_preferred_and_a_file_can_be_named(tmp_path: Path) -> None:
    write_pdparams(tmp_path / "model_state.pdparams", INFO, ONE.__getitem__)
    assert open_weights(tmp_path).path.name == "model_state.pdparams"
    write_safetensors(tmp_path / "model.safetensors", INFO, ONE.__getitem__)
    assert open_weights(tmp_path).path.name == "model.safetensors"
    assert open_weights(tmp_path / "model_state.pdparams").path.suffix == ".pdparams"


def test_a_folder_without_weights_says_what_was_looked_for(tmp_path: Path) -> None:
    assert find_weights(tmp_path) is None
    with pytest.raises(FileFormatError, match=r"model\.safetensors, pytorch_model\.bin"):
        open_weights(tmp_path)
    (tmp_path / "x.onnx").touch()
    with pytest.raises(FileFormatError, match="no weight file"):
        open_file(tmp_path / "x.onnx")


@pytest.mark.parametrize(
    "shard",
    [
        "../model.safetensors",
        "/etc/passwd",
        "sub/model.safetensors",
        "",
        ".",
        "..",
        3,
        None,
        ["a"],
        "a" * 256,
    ],
)
def test_an_index_cannot_leave_its_folder(tmp_path: Path, shard: Any) -> None:
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    for place in (tmp_path, inner / "sub"):
        write_safetensors(place / "model.safetensors", INFO, ONE.__getitem__)
    index(inner, {"a": shard})
    with pytest.raises(FileFormatError, match="only files of its own folder"):
        open_weights(inner)


def test_missing_shards_are_all_named(golden: Path, tmp_path: Path) -> None:
    source = golden / "llama_v2_gqa" / "sharded"
    shutil.copy(source / "model.safetensors.index.json", tmp_path)
    with pytest.raises(FileFormatError, match=r"lacks 2 of 2 shards: model-00001.*model-00002"):
        open_weights(tmp_path)


@pytest.mark.parametrize("weight_map", [None, {}, [], "model.safetensors"])
def test_an_index_without_a_map_is_refused(tmp_path: Path, weight_map: Any) -> None:
    index(tmp_path, weight_map)
    with pytest.raises(FileFormatError, match="weight_map"):
        open_weights(tmp_path)


def test_tensors_that_shards_lack_are_named(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", INFO, ONE.__getitem__)
    index(tmp_path, {"a": "x.safetensors", "b": "x.safetensors"})
    with pytest.raises(FileFormatError, match="names 1 tensors that its shards do not hold: b"):
        open_weights(tmp_path)


def test_tensors_that_an_index_does_not_name_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    infos = {f"buffer.{number:02d}": INFO["a"] for number in range(12)} | INFO
    write_safetensors(tmp_path / "x.safetensors", infos, lambda _: ONE["a"])
    index(tmp_path, {"a": "x.safetensors"})
    assert list(open_weights(tmp_path)) == ["a"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "does not name 12 tensors of its shards" in record.getMessage()
    assert "buffer.00, buffer.01" in record.getMessage()
    assert "buffer.10" not in record.getMessage()
    caplog.clear()
    index(tmp_path, dict.fromkeys(infos, "x.safetensors"))
    assert len(open_weights(tmp_path)) == 13
    assert not caplog.records


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.pdparams"])
def test_what_git_lfs_leaves_is_named(tmp_path: Path, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9\n"
    (tmp_path / name).write_text(pointer)
    with pytest.raises(FileFormatError, match=r"pointer that Git LFS leaves.*git lfs pull"):
        open_file(tmp_path / name)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_shards_without_their_index_are_told(tmp_path: Path, name: str) -> None:
    stem, _, suffix = name.rpartition(".")
    for number in (1, 2):
        (tmp_path / f"{stem}-0000{number}-of-00002.{suffix}").write_bytes(b"x")
    with pytest.raises(FileFormatError, match=rf"holds 2 shards.*not {name}\.index\.json"):
        open_weights(tmp_path)
