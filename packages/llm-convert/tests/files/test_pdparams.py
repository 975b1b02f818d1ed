"""`.pdparams` against PaddlePaddle itself, in both directions, and against damage."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paddle.framework import io_utils

from llm_convert.errors import FileFormatError, UnsafePickleError
from llm_convert.files.pdparams import open_pdparams, write_pdparams
from llm_convert.files.tensor_file import TensorInfo


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "float32": rng.normal(size=(5, 7)).astype(np.float32),
        "large": rng.normal(size=(300, 50)).astype(np.float32),
        "turned": rng.normal(size=(40, 31)).astype(np.float32).T,
        "float16": rng.normal(size=(4,)).astype(np.float16),
        "bfloat16": rng.normal(size=(4, 3)).astype(ml_dtypes.bfloat16),
        "int64": np.arange(-3, 3).reshape(2, 3),
        "uint8": np.arange(5, dtype=np.uint8),
        "scalar": np.array(3.5, np.float32),
    }


def write(path: Path, tensors: dict[str, np.ndarray]) -> None:
    infos = {name: TensorInfo(array.dtype, array.shape) for name, array in tensors.items()}
    write_pdparams(path, infos, tensors.__getitem__)


def check_same(path: Path, tensors: dict[str, np.ndarray]) -> None:
    read = open_pdparams(path)
    assert list(read) == list(tensors)
    for name, array in tensors.items():
        assert read.info(name) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(read[name], array)
        assert not read[name].flags.writeable


def to_paddle(array: np.ndarray) -> paddle.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return paddle.to_tensor(array.astype(np.float32)).astype("bfloat16")
    return paddle.to_tensor(np.array(array, order="C"))


def from_paddle(tensor: paddle.Tensor) -> np.ndarray:
    values = tensor.numpy()
    return values.view(ml_dtypes.bfloat16) if tensor.dtype == paddle.bfloat16 else values


def test_what_we_write_we_read_back(tmp_path: Path) -> None:
    write(tmp_path / "x.pdparams", arrays())
    check_same(tmp_path / "x.pdparams", arrays())


def test_paddle_loads_what_we_write(tmp_path: Path) -> None:
    write(tmp_path / "x.pdparams", arrays())
    loaded = paddle.load(str(tmp_path / "x.pdparams"))
    assert list(loaded) == list(arrays())
    for name, array in arrays().items():
        assert tuple(loaded[name].shape) == array.shape
        assert from_paddle(loaded[name]).dtype == array.dtype
        np.testing.assert_array_equal(from_paddle(loaded[name]), array)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_we_load_what_paddle_writes(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pdparams"
    paddle.save({n: to_paddle(a) for n, a in arrays().items()}, str(path), protocol=protocol)
    check_same(path, arrays())


def test_a_state_dict_of_a_layer(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(3, 2)
    paddle.save(layer.state_dict(), str(tmp_path / "x.pdparams"))
    read = open_pdparams(tmp_path / "x.pdparams")
    assert set(read) == {"weight", "bias"}
    np.testing.assert_array_equal(read["weight"], layer.weight.numpy())


def test_tensors_saved_as_name_and_data(tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    state = OrderedDict(a=("linear_0.w_0", np.arange(6.0).reshape(2, 3)))
    path.write_bytes(pickle.dumps(state, protocol=4))
    check_same(path, {"a": np.arange(6.0).reshape(2, 3)})


@pytest.mark.parametrize("protocol", [2, 3])
def test_slices_of_large_parameters_are_joined(tmp_path: Path, protocol: int) -> None:
    # Above 2**30 bytes paddle.save cuts an array into flat slices, as is done here by hand; its own
    # loader says what they mean.
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    flat = whole.reshape(-1)
    state: dict[str, Any] = {"b": np.ones(2, np.float32)}
    state |= {f"a@@.{index}": flat[index * 10 : (index + 1) * 10] for index in range(3)}
    state["UnpackBigParamInfor@@"] = {
        "a": {"OriginShape": (4, 6), "slices": ["a@@.0", "a@@.1", "a@@.2"]}
    }
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(state, protocol=protocol))
    expected = io_utils._pack_loaded_dict(state)
    np.testing.assert_array_equal(expected["a"], whole)
    check_same(path, {"b": np.ones(2, np.float32), "a": whole})


def test_arrays_in_fortran_order_and_of_other_byte_orders(tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    state = {
        "f": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "big": np.arange(3, dtype=">i4"),
    }
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps(state, protocol=protocol))
        read = open_pdparams(path)
        np.testing.assert_array_equal(read["f"], state["f"])
        np.testing.assert_array_equal(read["big"], state["big"])


def test_protocol_4_arrays_are_views_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "x.pdparams", arrays())
    read = open_pdparams(tmp_path / "x.pdparams")
    assert np.shares_memory(read["large"], read["large"])
    read.release("large")
    np.testing.assert_array_equal(read["large"], arrays()["large"])


class System:
    """Pickles as os.system('true')."""

    def __reduce__(self) -> Any:
        return (os.system, ("true",))


BAD = {
    "hostile": ({"a": System()}, UnsafePickleError, "posix.system"),
    "no dict": ([np.ones(2)], FileFormatError, "not a state dict"),
    "nested": ({"a": {"b": np.ones(2)}}, FileFormatError, "entry 'a' is no tensor"),
    "a number": ({"a": 3}, FileFormatError, "entry 'a' is no tensor"),
    "numeric key": ({1: np.ones(2)}, FileFormatError, "entry '1'"),
    "objects": ({"a": np.array([None])}, FileFormatError, "O8"),
    "texts": ({"a": np.array(["x"])}, FileFormatError, "U1"),
    "slices that are absent": (
        {"UnpackBigParamInfor@@": {"a": {"OriginShape": (2,), "slices": ["b"]}}},
        FileFormatError,
        "UnpackBigParamInfor@@ is malformed",
    ),
    "slices of the wrong size": (
        {
            "b": np.ones(3),
            "UnpackBigParamInfor@@": {"a": {"OriginShape": (2,), "slices": ["b"]}},
        },
        FileFormatError,
        "do not add up",
    ),
    "slices that are a list": ({"UnpackBigParamInfor@@": []}, FileFormatError, "malformed"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused_with_the_reason(tmp_path: Path, what: str) -> None:
    value, error, message = BAD[what]
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(value, protocol=4))
    with pytest.raises(error, match=message):
        open_pdparams(path)


def test_an_array_shorter_than_its_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    whole = pickle.dumps({"a": np.arange(4, dtype=np.float64)}, protocol=4)
    path.write_bytes(whole.replace(b"K\x04\x85", b"K\x05\x85"))
    with pytest.raises(FileFormatError, match="needs 40 bytes"):
        open_pdparams(path)


def test_truncation_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    write(path, {"a": np.arange(4, dtype=np.float32), "b": np.ones((2, 2), np.float16)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            open_pdparams(path)


def test_types_that_paddle_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot hold float8"):
        write(tmp_path / "x.pdparams", {"a": np.ones(2, ml_dtypes.float8_e4m3fn)})
    assert not list(tmp_path.iterdir())


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutations_raise_our_errors_or_stay_within_the_file(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "x.pdparams"
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(3, np.uint16)}
    content = bytearray(pickle.dumps(state, protocol=data.draw(st.sampled_from([2, 4]))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read = open_pdparams(path)
        for name in read:
            assert read[name].nbytes <= len(content)
    except (FileFormatError, UnsafePickleError):
        pass
