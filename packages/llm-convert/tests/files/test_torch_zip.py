"""torch's zip files: the golden ones torch wrote, strided tensors, damage and hostile content."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_convert.errors import FileFormatError, UnsafePickleError
from llm_convert.files.safetensors import open_safetensors
from llm_convert.files.torch_file import open_torch


class Global:
    """Something that pickles as `module.name`, called with `arguments` unless those are None."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class Storage:
    """Pickles as a persistent id."""

    def __init__(self, kind: str, key: str, elements: int) -> None:
        self.identity = ("storage", Global("torch", kind), key, "cpu", elements)


def dump(value: Any) -> bytes:
    """Protocol 2 as torch writes it, for the few types used here."""
    if isinstance(value, Global):
        call = f"c{value.module}\n{value.name}\n".encode()
        return call if value.arguments is None else call + dump(value.arguments) + b"R"
    if isinstance(value, Storage):
        return dump(value.identity) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(dump, value)) + b"t"
    if isinstance(value, dict):
        start = dump(Global("collections", "OrderedDict", ()))
        return start + b"(" + b"".join(dump(k) + dump(v) for k, v in value.items()) + b"u"
    return pickle.dumps(value, protocol=2)[2:-1].replace(b"q\x00", b"")


def tensor(storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> Global:
    hooks = Global("collections", "OrderedDict", ())
    return Global(
        "torch._utils", "_rebuild_tensor_v2", (storage, offset, size, stride, False, hooks)
    )


def archive(path: Path, state: Any, storages: dict[str, bytes], **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + dump(state) + b".")
        for key, data in storages.items():
            file.writestr(f"archive/data/{key}", data)
        for name, data in extra.items():
            file.writestr(f"archive/{name}", data)
    return path


FLOATS = np.arange(12, dtype=np.float32)
STORAGE = Storage("FloatStorage", "0", 12)


def test_a_file_of_torch_equals_the_safetensors_beside_it(golden: Path) -> None:
    folder = golden / "llama_v2_gqa"
    read, expected = (
        open_torch(folder / "pytorch_model.bin"),
        open_safetensors(folder / "model.safetensors"),
    )
    assert set(expected) < set(read)
    assert all("rotary_emb.inv_freq" in name for name in set(read) - set(expected))
    for name in expected:
        assert read.info(name) == expected.info(name)
        np.testing.assert_array_equal(read[name], expected[name])


VIEWS = {
    "whole": ((0, (3, 4), (4, 1)), FLOATS.reshape(3, 4)),
    "transposed": ((0, (4, 3), (1, 4)), FLOATS.reshape(3, 4).T),
    "rows": ((4, (2, 4), (4, 1)), FLOATS.reshape(3, 4)[1:]),
    "columns": ((1, (3, 2), (4, 1)), FLOATS.reshape(3, 4)[:, 1:3]),
    "every second": ((0, (6,), (2,)), FLOATS[::2]),
    "expanded": ((2, (3, 2), (0, 1)), np.broadcast_to(FLOATS[2:4], (3, 2))),
    "scalar": ((7, (), ()), FLOATS[7]),
    "empty": ((0, (0, 3), (3, 1)), np.zeros((0, 3), np.float32)),
    "axis of one": ((0, (1, 4), (99, 1)), FLOATS[None, :4]),
}


@pytest.mark.parametrize("what", VIEWS)
def test_tensors_are_views_of_their_storage(tmp_path: Path, what: str) -> None:
    (offset, size, stride), expected = VIEWS[what]
    state = {"a": tensor(STORAGE, offset, size, stride)}
    read = open_torch(archive(tmp_path / "x.bin", state, {"0": FLOATS.tobytes()}))
    np.testing.assert_array_equal(read["a"], expected)
    assert read["a"].shape == size
    assert not read["a"].flags.writeable


def test_shared_storages_parameters_and_bfloat16(tmp_path: Path) -> None:
    half = np.arange(6).astype(ml_dtypes.bfloat16)
    shared = tensor(STORAGE, 0, (12,), (1,))
    state = {
        "a": shared,
        "b": Global("torch._utils", "_rebuild_parameter", (shared, True, None)),
        "c": tensor(Storage("BFloat16Storage", "1", 6), 0, (2, 3), (3, 1)),
    }
    path = archive(
        tmp_path / "x.bin",
        state,
        {"0": FLOATS.tobytes(), "1": half.tobytes()},
        byteorder=b"little",
    )
    read = open_torch(path)
    np.testing.assert_array_equal(read["a"], FLOATS)
    assert np.shares_memory(read["a"], read["b"])
    np.testing.assert_array_equal(read["c"], half.reshape(2, 3))


OUTSIDE = {
    "longer than its storage": (0, (13,), (1,)),
    "offset outside": (12, (1,), (1,)),
    "huge offset": (2**62, (1,), (1,)),
    "negative offset": (-1, (1,), (1,)),
    "stride outside": (0, (2,), (12,)),
    "negative stride": (3, (2,), (-1,)),
    "huge size": (0, (2**62, 2**62), (0, 1)),
    "more sizes than strides": (0, (3, 4), (4,)),
    "size is true": (0, (True,), (1,)),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_tensors_outside_their_storage_are_refused(tmp_path: Path, what: str) -> None:
    state = {"a": tensor(STORAGE, *OUTSIDE[what])}
    with pytest.raises(FileFormatError):
        open_torch(archive(tmp_path / "x.bin", state, {"0": FLOATS.tobytes()}))


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (Storage("FloatStorage", "1", 12), "not in the file"),
        (Storage("FloatStorage", "../data.pkl", 1), "not in the file"),
        (Storage("FloatStorage", "0", 13), "cut short"),
        (Storage("DoubleStorage", "0", 12), "cut short"),
    ],
)
def test_storages_that_are_not_there_are_refused(
    tmp_path: Path, storage: Storage, message: str
) -> None:
    path = archive(
        tmp_path / "x.bin", {"a": tensor(storage, 0, (1,), (1,))}, {"0": FLOATS.tobytes()}
    )
    with pytest.raises(FileFormatError, match=message):
        open_torch(path)


@pytest.mark.parametrize(
    "call",
    [
        Global("os", "system", ("true",)),
        Global("builtins", "eval", ("1",)),
        Global("torch", "load", ("x",)),
        Global("torch.hub", "load", ("x",)),
        Global("torch._utils", "_rebuild_from_type_v2", ()),
        Global("torch", "UnknownStorage"),
    ],
)
def test_hostile_names_are_refused(tmp_path: Path, call: Global) -> None:
    path = archive(tmp_path / "x.bin", {"a": call}, {})
    with pytest.raises(UnsafePickleError, match=f"{call.module}.{call.name}"):
        open_torch(path)


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"\x80\x02}." + b"\x00" * 1000)
    with pytest.raises(FileFormatError, match="compressed"):
        open_torch(path)


def test_other_kinds_of_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(OrderedDict(), protocol=2))
    with pytest.raises(FileFormatError, match="a bare pickle, and not one of torch"):
        open_torch(path)
    archive(path, {}, {}, byteorder=b"big")
    with pytest.raises(FileFormatError, match="big-endian"):
        open_torch(path)
    archive(path, ("a", "tuple"), {})
    with pytest.raises(FileFormatError, match="not a state dict"):
        open_torch(path)
    archive(path, {"a": 3}, {})
    with pytest.raises(FileFormatError, match="entry 'a' is no tensor"):
        open_torch(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme", b"hello")
    with pytest.raises(FileFormatError, match=r"one data\.pkl"):
        open_torch(path)


def test_truncation_is_refused(tmp_path: Path) -> None:
    state = {"a": tensor(STORAGE, 0, (12,), (1,))}
    path = archive(tmp_path / "x.bin", state, {"0": FLOATS.tobytes()})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            open_torch(path)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutations_raise_our_errors_or_stay_within_the_file(tmp_path: Path, data: Any) -> None:
    state = {"a": tensor(STORAGE, 0, (3, 4), (4, 1)), "b": tensor(STORAGE, 1, (5,), (2,))}
    path = archive(tmp_path / "x.bin", state, {"0": FLOATS.tobytes()})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read = open_torch(path)
        for name in read:
            assert np.array(read[name]).nbytes < 10_000
    except (FileFormatError, UnsafePickleError):
        pass


def test_an_entry_that_points_outside_the_file_is_refused(tmp_path: Path) -> None:
    state = {"a": tensor(STORAGE, 0, (12,), (1,))}
    path = archive(tmp_path / "x.bin", state, {"0": FLOATS.tobytes()})
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    entry = bytearray(content[at:])
    entry[42:46] = struct.pack("<I", len(content) + 5)  # offset of the local header
    stream = io.BytesIO(content[:at] + bytes(entry))
    path.write_bytes(stream.getvalue())
    with pytest.raises(FileFormatError):
        open_torch(path)
