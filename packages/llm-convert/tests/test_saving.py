"""Writing models: sizes of shards, element types, companions, and a disk that fills up."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open

from llm_cli.outputs import written_file
from llm_convert.errors import ConvertError
from llm_convert.files import safetensors as writer
from llm_convert.files.safetensors import open_safetensors
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.model import Model, open_model
from llm_convert.saving import copy_companions, plan_shards, save_model
from llm_kernels.families import ParameterKey

BYTE = np.dtype(np.uint8)


@pytest.fixture
def llama(golden: Path) -> Model:
    return open_model(golden / "llama_v2_gqa")


def save(folder: Path, model: Model, **options: Any) -> None:
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        **{"naming": "hf", "parameters": model.weight, **options},
    )


def test_shards_hold_every_tensor_once(llama: Model, tmp_path: Path) -> None:
    save(tmp_path, llama, max_shard_size="100KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    shards = sorted(tmp_path.glob("model-*.safetensors"))
    assert [shard.name for shard in shards] == [
        f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i in range(1, len(shards) + 1)
    ]
    assert len(shards) > 3
    held = {name: shard.name for shard in shards for name in open_safetensors(shard)}
    assert held == index["weight_map"]
    assert index["metadata"]["total_size"] == 4 * sum(
        int(np.prod(shape)) for shape in llama.parameters.values()
    )
    again = open_model(tmp_path)
    for key in llama.parameters:
        np.testing.assert_array_equal(again.dense(key), llama.dense(key))


def test_shards_are_cut_between_tensors_only() -> None:
    infos = {
        name: TensorInfo(BYTE, (size,))
        for name, size in zip("abcde", (4, 4, 3, 20, 1), strict=True)
    }
    assert plan_shards(infos, 8) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert plan_shards(infos, 100) == [list("abcde")]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("float32", np.float32), ("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)],
)
def test_casting(llama: Model, tmp_path: Path, name: str, dtype: Any) -> None:
    save(tmp_path, llama, dtype=name, naming="paddlenlp")
    again = open_model(tmp_path)
    assert again.config["dtype"] == name
    assert "torch_dtype" not in again.config
    for key in llama.parameters:
        assert again.dtype(key) == dtype
        np.testing.assert_array_equal(again.weight(key), llama.dense(key).astype(dtype))


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize("naming", ["hf", "paddlenlp"])
def test_what_chooses_experts_is_not_rounded(
    golden: Path, tmp_path: Path, naming: str, name: str
) -> None:
    """Corrections near 14, as DeepSeek-V3 has them, differ by less than bfloat16 can tell there."""
    model = open_model(golden / "deepseek_v3")

    def weight(key: ParameterKey) -> np.ndarray:
        dense = np.array(model.dense(key))
        return 14 + dense / 100 if key.slot == "router_correction" else dense

    save(tmp_path, model, dtype=name, naming=naming, parameters=weight)
    again = open_model(tmp_path)
    corrections = [key for key in again.parameters if key.slot == "router_correction"]
    assert corrections
    for key in again.parameters:
        assert again.dtype(key).name == ("float32" if key in corrections else name)
    for key in corrections:
        np.testing.assert_array_equal(again.weight(key), weight(key))


def test_each_parameter_can_keep_its_own_type(llama: Model, tmp_path: Path) -> None:
    types = {
        key: np.dtype(np.float32 if key.slot.endswith("norm") else np.float16)
        for key in llama.parameters
    }
    save(tmp_path, llama, dtype=types)
    again = open_model(tmp_path)
    assert {key: again.dtype(key) for key in again.parameters} == types
    assert again.config["torch_dtype"] == "float16"


def test_parts_of_one_tensor_must_be_of_one_type(golden: Path, tmp_path: Path) -> None:
    model = open_model(golden / "baichuan_7b")
    types = {
        key: np.dtype(np.float16 if key.slot == "q" else np.float32) for key in model.parameters
    }
    with pytest.raises(ConvertError, match=r"W_pack\.weight joins parameters of different types"):
        save(tmp_path, model, dtype=types)


@pytest.mark.parametrize(("naming", "form"), [("hf", "pt"), ("paddlenlp", "np")])
def test_the_metadata_is_what_the_ecosystem_demands(
    llama: Model, tmp_path: Path, naming: str, form: str
) -> None:
    save(tmp_path, llama, naming=naming)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert file.metadata() == {"format": form}


def test_progress_counts_every_byte(llama: Model, tmp_path: Path) -> None:
    counted: list[int] = []
    save(tmp_path, llama, naming="paddlenlp", written=counted.append)
    assert sum(counted) == 4 * sum(int(np.prod(shape)) for shape in llama.parameters.values())


def test_an_unknown_naming_lists_what_there_is(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="hf, paddlenlp"):
        save(tmp_path, open_model(golden / "bloom"), naming="meta")


def test_companions(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "folder"
    source.mkdir()
    folder.mkdir()
    wanted = {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}
    wanted |= {"generation_config.json", "chat_template.json", "tokenizer.model", "qwen.tiktoken"}
    for name in wanted | {"model.safetensors", "config.json", "llm.json", "COMPLETE"}:
        (source / name).write_text(name)
    (source / "tokenizer_cache").mkdir()
    assert copy_companions(source, folder) == sorted(wanted)
    assert {file.name: file.read_text() for file in folder.iterdir()} == {n: n for n in wanted}


class FullDisk:
    """A stream that has room for some bytes more."""

    def __init__(self, stream: BinaryIO, room: int) -> None:
        self.stream, self.room = stream, room

    def write(self, data: bytes | memoryview) -> int:
        self.room -= memoryview(data).nbytes
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.stream.write(data)


def test_a_full_disk_leaves_the_old_file(
    llama: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, llama)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    @contextmanager
    def written_file_on_a_full_disk(path: Path, *, streamed: bool) -> Iterator[Any]:
        with written_file(path, streamed=streamed) as stream:
            yield FullDisk(stream, 300_000)

    monkeypatch.setattr(writer, "written_file", written_file_on_a_full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, llama)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_numbers_too_large_for_the_type_are_refused(
    llama: Model, tmp_path: Path, dtype: type[np.generic]
) -> None:
    large = {key: llama.weight(key) for key in llama.parameters}
    key = next(iter(large))
    large[key] = np.full(llama.parameters[key], 7e4, dtype)
    with pytest.raises(ConvertError, match=r"numbers too large for float16.*--dtype"):
        save(tmp_path, llama, parameters=large.__getitem__, dtype="float16")
    save(tmp_path, llama, parameters=large.__getitem__, dtype="bfloat16")
