"""Bytes in C order, whatever the array's strides, however it is cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_cli.outputs import verify_complete, written_file, written_folder
from llm_convert.files import array_writer
from llm_convert.files.array_writer import ArrayWriter
from llm_kernels.errors import NativeUnavailableError

RNG = np.random.default_rng(4)
TYPES = [np.float32, ml_dtypes.bfloat16, np.float16, np.int8, np.float64, ml_dtypes.float8_e4m3fn]
VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda x: x,
    "transposed": lambda x: x.T,
    "rows of the transposed": lambda x: x.T[3:40],
    "columns of the transposed": lambda x: x.T[:, 5:90],
    "every other": lambda x: x[::2, ::3],
    "backwards, transposed": lambda x: x[::-1].T,
    "one row": lambda x: x[:1].T,
    "no rows": lambda x: x[:, :0].T,
    "a column": lambda x: x[:, 4],
    "three axes": lambda x: x.reshape(10, 10, -1).swapaxes(0, 1),
    "a number": lambda x: x[2, 2].reshape(()),
}


@pytest.fixture(params=[True, False], ids=["native", "numpy"])
def _native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> Any:
        raise NativeUnavailableError

    if not request.param:
        monkeypatch.setattr(array_writer, "extension", unavailable)


@pytest.mark.usefixtures("_native")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("piece", [100, 5000, 8 << 20])
def test_every_byte_in_order(
    view: str, dtype: Any, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_writer, "PIECE_BYTES", piece)
    size = np.dtype(dtype).itemsize
    x = RNG.integers(0, 256, (100, 70 * size), dtype=np.uint8).view(dtype)
    array = VIEWS[view](x)
    stream, told = io.BytesIO(), []
    ArrayWriter(stream, told.append).write(array)
    assert stream.getvalue() == array.tobytes()
    assert sum(told) == array.nbytes


def test_hashes_are_of_the_pieces_as_they_were_written(tmp_path: Any) -> None:
    """The writer fills its memory again while the last piece may still be hashed."""
    x = RNG.integers(0, 60000, (3000, 4096), dtype=np.uint16)
    with (
        written_folder(tmp_path / "x", {}) as folder,
        written_file(folder / "y", streamed=True) as stream,
    ):
        writer = ArrayWriter(stream)
        for part in (x.T, x[:700], x[5:].T):
            writer.write(part)
    data = (tmp_path / "x" / "y").read_bytes()
    assert data == x.T.tobytes() + x[:700].tobytes() + x[5:].T.tobytes()
    assert verify_complete(tmp_path / "x") == []
