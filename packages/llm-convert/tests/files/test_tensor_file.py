"""The memory map: pages of a tensor can be given back while its arrays live on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from llm_convert.files.pdparams import open_pdparams, write_pdparams
from llm_convert.files.safetensors import open_safetensors, write_safetensors
from llm_convert.files.tensor_file import MAX_AXES, MAX_SIZE, TensorInfo, check_shape


def resident() -> int:
    """Bytes of this process that are in memory, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_walking_over_a_file_keeps_one_tensor_resident(tmp_path: Path) -> None:
    size = 16 << 20
    infos = {f"t{i}": TensorInfo(np.dtype(np.uint8), (size,)) for i in range(6)}
    write_safetensors(
        tmp_path / "x.safetensors", infos, lambda name: np.full(size, int(name[1:]), np.uint8)
    )
    read = open_safetensors(tmp_path / "x.safetensors")
    before, peak = resident(), 0
    for name in read:
        assert int(read[name][:: 1 << 12].max()) == int(name[1:])
        peak = max(peak, resident() - before)
        read.release(name)
    assert size // 2 < peak < 1.5 * size


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opening_a_pickle_keeps_none_of_the_file_resident(tmp_path: Path) -> None:
    size = 1 << 20
    infos = {f"t{i}": TensorInfo(np.dtype(np.uint8), (size,)) for i in range(48)}
    path = tmp_path / "x.pdparams"
    write_pdparams(path, infos, lambda _: np.ones(size, np.uint8))
    open_pdparams(path)  # what a first time needs
    before = resident()
    read = open_pdparams(path)
    assert len(read) == 48
    assert resident() - before < 8 * size


def test_nbytes_of_an_info() -> None:
    assert TensorInfo(np.dtype(np.float16), (3, 5)).nbytes == 30
    assert TensorInfo(np.dtype(np.float16), ()).nbytes == 2


def test_the_shapes_that_numpy_has_can_be_read() -> None:
    check_shape([1] * MAX_AXES)
    assert np.empty([1] * MAX_AXES).ndim == MAX_AXES
    check_shape((0, MAX_SIZE // 8), 8)
    assert np.empty((0, MAX_SIZE // 8)).size == 0
    check_shape(())


@pytest.mark.parametrize(
    ("shape", "itemsize", "text"),
    [
        ([1] * (MAX_AXES + 1), 1, "33 axes; at most 32"),
        ([999] * 400_000, 1, "400000 axes; at most 32"),
        ([MAX_SIZE + 1], 1, "1 axes with more than 9223372036854775807 bytes, the limit"),
        ((3, 1 << 31, 1 << 31, 7), 2, "4 axes with more than .* in its first 3"),
        ((0, MAX_SIZE // 8 + 1), 8, "first 2"),
    ],
)
def test_other_shapes_are_refused_before_they_are_multiplied(
    shape: list[int], itemsize: int, text: str
) -> None:
    if itemsize == 8:
        with pytest.raises(ValueError, match="too big"):
            np.empty(shape)
    with pytest.raises(ValueError, match=text) as found:
        check_shape(shape, itemsize)
    assert len(str(found.value)) < 150
