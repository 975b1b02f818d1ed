from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import ops

RNG = np.random.default_rng(8)
TYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.int16, np.uint32]
SHAPES = [(1, 1), (8, 8), (7, 9), (32, 64), (33, 65), (1, 100), (100, 1), (0, 5), (5, 0), (257, 70)]


def matrix(shape: tuple[int, int], dtype: Any) -> np.ndarray:
    bits = np.uint16 if np.dtype(dtype).itemsize == 2 else np.uint32
    return RNG.integers(0, np.iinfo(bits).max, shape, dtype=bits).view(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_bit_arrives(isa: str, threads: int, shape: tuple[int, int], dtype: Any) -> None:
    x = matrix(shape, dtype)
    transposed = ops.transpose(x, isa=isa, threads=threads)
    assert (transposed.dtype, transposed.shape, transposed.flags.c_contiguous) == (
        x.dtype,
        shape[::-1],
        True,
    )
    assert transposed.tobytes() == np.ascontiguousarray(x.T).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_large_enough_for_several_tasks(isa: str, threads: int, dtype: Any) -> None:
    x = matrix((1030, 777), dtype)
    assert ops.transpose(x, isa=isa, threads=threads).tobytes() == x.T.tobytes()


def test_columns_of_a_matrix_into_memory_that_is_there(isa: str) -> None:
    x = matrix((40, 100), np.float16)
    memory = np.zeros((21, 40), np.float16)
    out = ops.transpose(x[:, 30:50], out=memory[1:], isa=isa)
    assert np.shares_memory(out, memory)
    assert out.tobytes() == x[:, 30:50].T.tobytes()
    assert not memory[0].any()


@pytest.mark.parametrize(
    ("x", "out"),
    [
        (np.zeros((4, 4), np.float64), None),
        (np.zeros((4, 4), np.int8), None),
        (np.zeros((4, 8), np.float32)[:, ::2], None),
        (np.zeros((4, 8), np.float32)[::-1], None),
        (np.zeros(4, np.float32), None),
        (np.zeros((4, 8), np.float32), np.zeros((4, 8), np.float32)),
        (np.zeros((4, 8), np.float32), np.zeros((8, 4), np.int32)),
        (np.zeros((4, 8), np.float32), np.zeros((8, 8), np.float32)[:, :4]),
    ],
)
def test_other_arrays_are_refused(x: np.ndarray, out: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match=r"needed|dense rows"):
        ops.transpose(x, out=out)
