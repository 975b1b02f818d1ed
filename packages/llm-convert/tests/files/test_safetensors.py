"""The reader against the safetensors package, against damaged files, and under fuzzing."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_convert.errors import FileFormatError
from llm_convert.files.dtypes import SAFETENSORS
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import TensorInfo


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    return {
        "odd": rng.integers(-100, 100, (3,)).astype(np.int8),
        "float32": rng.normal(size=(5, 7)).astype(np.float32),
        "turned": rng.normal(size=(300, 41)).astype(np.float32).T,
        "bfloat16": rng.normal(size=(4, 3)).astype(ml_dtypes.bfloat16),
        "float8": rng.normal(size=(6,)).astype(ml_dtypes.float8_e4m3fn),
        "scalar": np.array(2.5, np.float64),
        "empty": np.zeros((0, 4), np.float16),
        "text Ünïcode": np.arange(6, dtype=np.int64).reshape(2, 3),
    }


def write(path: Path, tensors: dict[str, np.ndarray], **options: Any) -> None:
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_safetensors(path, infos, tensors.__getitem__, **options)


def raw(path: Path, header: bytes | dict[str, Any], data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype: str, shape: list[Any], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_what_we_write_we_read_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = arrays()
    write(tmp_path / "x.safetensors", tensors, metadata={"format": "pt"})
    read = open_safetensors(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    assert read.metadata == {"format": "pt"}
    for name, array in tensors.items():
        assert read.info(name) == (array.dtype, array.shape)
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
        assert not read[name].flags.writeable


def test_the_reference_reads_what_we_write(tmp_path: Path) -> None:
    tensors = {n: a for n, a in arrays().items() if n not in ("bfloat16", "float8")}
    write(tmp_path / "x.safetensors", tensors, metadata={"format": "pt"})
    reference = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    for name, array in tensors.items():
        np.testing.assert_array_equal(reference[name], array)


def test_we_read_what_the_reference_writes(tmp_path: Path) -> None:
    tensors = {n: np.ascontiguousarray(a) for n, a in arrays().items() if n != "float8"}
    safetensors.numpy.save_file(tensors, tmp_path / "x.safetensors", metadata={"a": "b"})
    read = open_safetensors(tmp_path / "x.safetensors")
    assert read.metadata == {"a": "b"}
    for name, array in tensors.items():
        np.testing.assert_array_equal(read[name], array)


def test_tensors_start_aligned_to_their_type(tmp_path: Path) -> None:
    write(tmp_path / "x.safetensors", arrays())
    read = open_safetensors(tmp_path / "x.safetensors")
    for name in read:
        assert read[name].ctypes.data % read[name].dtype.itemsize == 0


def test_arrays_stay_valid_after_release(tmp_path: Path) -> None:
    big = np.arange(100_000, dtype=np.float32)
    write(tmp_path / "x.safetensors", {"a": big, "b": big})
    read = open_safetensors(tmp_path / "x.safetensors")
    view = read["a"]
    read.release("a")
    np.testing.assert_array_equal(view, big)


def test_writing_another_shape_than_announced_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, {"a": np.ones(3, np.float32)})
    before = path.read_bytes()
    announced = {"a": TensorInfo(np.dtype(np.float32), (2,))}
    with pytest.raises(FileFormatError, match=r"a is float32 \(3,\)"):
        write_safetensors(path, announced, lambda _: np.ones(3, np.float32))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


F32 = {"a": entry("F32", [2], 0, 8)}
BAD = {
    "empty file": (b"", b"", "empty"),
    "header longer than the file": (None, struct.pack("<Q", 10**6) + b"{}", "truncated"),
    "huge header": (None, struct.pack("<Q", 2**63) + b"{}", "limit"),
    "four bytes": (None, b"abcd", "truncated"),
    "no JSON": (b"{not json}", b"", "JSON"),
    "not UTF-8": (b'{"\xff":1}', b"", "JSON"),
    "a list": (b"[]", b"", "object"),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "JSON"),
    "NaN": (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', bytes(4), "NaN"),
    "repeated key": (
        b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
        b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        b"x",
        "more than once",
    ),
    "missing field": ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4), "exactly"),
    "unknown dtype": ({"a": entry("F99", [1], 0, 4)}, bytes(4), "F99"),
    "dtype is a list": ({"a": entry(["F32"], [1], 0, 4)}, bytes(4), "dtype"),  # type: ignore[arg-type]
    "negative size": ({"a": entry("F32", [-1], 0, 4)}, bytes(4), "shape"),
    "size is true": ({"a": entry("F32", [True], 0, 4)}, bytes(4), "shape"),
    "size is a float": ({"a": entry("F32", [1.0], 0, 4)}, bytes(4), "shape"),
    "shape and bytes disagree": ({"a": entry("F32", [3], 0, 8)}, bytes(8), "needs 12 bytes"),
    "overflowing shape": ({"a": entry("F32", [2**62, 8], 0, 8)}, bytes(8), "2 axes with more than"),
    "backward range": ({"a": entry("F32", [0], 8, 0)}, bytes(8), "needs 0 bytes"),
    "outside the file": (F32, bytes(4), "truncated"),
    "overlap": ({**F32, "b": entry("F32", [2], 4, 12)}, bytes(12), "overlap"),
    "hole": ({**F32, "b": entry("F32", [1], 12, 16)}, bytes(16), "belong to no tensor"),
    "rest": (F32, bytes(12), "belong to no tensor"),
    "metadata is no text": ({"__metadata__": {"a": 1}}, b"", "__metadata__"),
}


@pytest.mark.parametrize("what", BAD)
def test_damaged_files_are_refused(tmp_path: Path, what: str) -> None:
    header, data, message = BAD[what]
    path = tmp_path / "x.safetensors"
    if header is None or not header:
        path.write_bytes(data)
    else:
        raw(path, header, data)
    with pytest.raises(FileFormatError, match=message) as caught:
        open_safetensors(path)
    assert str(path) in str(caught.value)


def test_truncation_at_every_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path, {"a": np.arange(4, dtype=np.float32), "b": np.arange(3, dtype=np.int8)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            open_safetensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="does not exist"):
        open_safetensors(tmp_path / "none.safetensors")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_flipped_bytes_are_refused_or_read_within_the_file(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "x.safetensors"
    write(path, {"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.int8)})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read = open_safetensors(path)
    except FileFormatError:
        return
    assert sum(read[name].nbytes for name in read) <= len(content)


numbers = st.integers(-2, 40) | st.floats() | st.booleans() | st.none()


def test_large_tensors_begin_at_a_page(tmp_path: Path) -> None:
    """They are written and mapped without a copy, wherever a small one was asked for."""
    rng = np.random.default_rng(5)
    arrays = {
        "norm": rng.random(24, np.float32),
        "embed": rng.random((64, 32), np.float32),
        "half": rng.random((32, 64), np.float32).astype(np.float16),
        "bias": rng.random(3, np.float32),
        "head": rng.random((128, 24), np.float32),
    }
    path = tmp_path / "x.safetensors"
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in arrays.items()}
    write_safetensors(path, infos, arrays.__getitem__)
    data = path.read_bytes()
    for name in ("embed", "head"):
        assert data.index(arrays[name].tobytes()) % 4096 == 0
    for name, array in safetensors.numpy.load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name])


headers = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from([*SAFETENSORS, "X"]),
            "shape": st.lists(numbers, max_size=3),
            "data_offsets": st.lists(numbers, min_size=1, max_size=3),
        }
    ),
    max_size=3,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(header=headers, rest=st.binary(max_size=40))
def test_we_accept_no_header_that_the_reference_refuses(
    tmp_path: Path, header: dict[str, Any], rest: bytes
) -> None:
    path = raw(tmp_path / "x.safetensors", header, rest)
    try:
        ours = set(open_safetensors(path))
    except FileFormatError:
        return
    with safetensors.safe_open(path, framework="numpy") as reference:
        assert ours == set(reference.keys())


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([999] * 200_000, "tensor a has a shape of 200000 axes; at most 32 can be read"),
        ([1] * 33, "tensor a has a shape of 33 axes; at most 32"),
        ([1 << 40, 1 << 40], "tensor a has a shape of 2 axes with more than 9223372036854775807"),
        ([int("9" * 300)], "tensor a has shape .* both are lists of integers from 0 to"),
        ([-1] * 200_000, r"tensor a has shape \[-1, -1, -1, -1, -1, -1, \.\.\.\] at"),
    ],
)
def test_shapes_that_no_array_has_are_told_in_short(
    tmp_path: Path, shape: list[int], text: str
) -> None:
    path = raw(tmp_path / "x.safetensors", {"a": entry("F32", shape, 0, 4)}, bytes(4))
    started = time.process_time()
    with pytest.raises(FileFormatError, match=text) as found:
        open_safetensors(path)
    assert time.process_time() - started < 2
    assert len(str(found.value)) < 400 + len(str(path))
