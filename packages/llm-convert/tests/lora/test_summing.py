"""The sum of a weight and a low-rank product, with the native kernels and without."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from llm_convert.files.page_memory import PageMemory
from llm_convert.lora import summing
from llm_convert.lora.summing import low_rank_sum
from llm_kernels.errors import NativeUnavailableError

RNG = np.random.default_rng(4)
ROWS, COLUMNS, RANK = 61, 130, 3
LEFT = RNG.standard_normal((ROWS, RANK)).astype(np.float32)
RIGHT = RNG.standard_normal((RANK, COLUMNS)).astype(np.float32)
FUSED = RNG.standard_normal((2 * ROWS, 2 * COLUMNS)).astype(ml_dtypes.bfloat16)
BASES = {
    "whole": np.ascontiguousarray(FUSED[:ROWS, :COLUMNS]),
    "transposed": np.ascontiguousarray(FUSED[:ROWS, :COLUMNS].T).T,
    "columns": FUSED[:ROWS, 7 : 7 + COLUMNS],
    "every other column": FUSED[:ROWS, ::2],
    "float64": np.ascontiguousarray(FUSED[:ROWS, :COLUMNS], np.float64),
}


def _unavailable() -> None:
    message = "Not built."
    raise NativeUnavailableError(message)


@pytest.fixture(params=["native", "numpy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        monkeypatch.setattr(summing, "extension", _unavailable)
        monkeypatch.setattr(summing, "_BLOCK_NUMBERS", 5 * COLUMNS)
    return str(request.param)


@pytest.mark.parametrize("base", BASES.values(), ids=BASES.keys())
@pytest.mark.parametrize("transposed", [None, False, True])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@pytest.mark.usefixtures("way")
def test_the_sum_in_float32_rounded_once(
    base: np.ndarray, transposed: bool | None, dtype: type[np.generic]
) -> None:
    found = low_rank_sum(
        base, LEFT, RIGHT, 1.5, np.dtype(dtype), memory=PageMemory(), transposed=transposed
    )
    exact = base.astype(np.float64) + 1.5 * (LEFT.astype(np.float64) @ RIGHT)
    assert found.dtype == dtype
    one_rounding = 2.0**-8 * np.abs(exact) if dtype != np.float32 else 0.0
    assert (np.abs(found.astype(np.float64) - exact) <= one_rounding + 4e-6).all()
    lies_transposed = found.T.flags.c_contiguous
    assert lies_transposed == (base is BASES["transposed"] if transposed is None else transposed)


@pytest.mark.usefixtures("way")
def test_the_base_is_not_written_to() -> None:
    base = BASES["whole"].copy()
    base.flags.writeable = False
    low_rank_sum(base, LEFT, RIGHT, 1.0, base.dtype, memory=PageMemory())
    assert base.tobytes() == BASES["whole"].tobytes()
