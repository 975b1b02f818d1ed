from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from llm_kernels.cache_layout import CacheScales, bytes_per_block, native_layout
from llm_kernels.errors import KernelsError, ShapeError


def scales(layers: int = 2, heads: int = 2) -> CacheScales:
    return CacheScales(*(np.full((layers, heads), n, np.float32) for n in (0.5, 0.25)))


def test_query_heads_of_a_group_are_folded() -> None:
    most = [[127.0, 127.0, 254.0, 254.0], [12.7, 25.4, 1.27, 1.27]]
    found = CacheScales.from_abs_max(most, np.ones((2, 4)), kv_heads=2)
    np.testing.assert_allclose(found.keys, [[1.0, 2.0], [0.2, 0.01]], rtol=1e-6)
    assert (found.values == np.float32(1 / 127)).all()
    assert found.keys.dtype == np.float32


@pytest.mark.parametrize(
    ("most", "cause"),
    [
        ([[1.0, 1.0, 1.0]], r"shape \[1, 3\]; \[layers, a multiple of 2 heads\]"),
        ([1.0, 1.0], r"shape \[2\]"),
        ([[1.0, 0.0]], "not all above 0"),
        ([[1.0, float("nan")]], "not all above 0"),
    ],
)
def test_numbers_that_are_no_scales_are_refused(most: list[Any], cause: str) -> None:
    with pytest.raises(ShapeError, match=cause):
        CacheScales.from_abs_max(most, [[1.0, 1.0]], kv_heads=2)


def test_layouts(random_model: Callable[..., Any]) -> None:
    sizes = random_model("llama").sizes
    plain = {"key_scales": [], "value_scales": []}
    assert native_layout("float32", None, sizes) == {"cache_layout": 0, **plain}
    assert native_layout("bfloat16", None, sizes) == {"cache_layout": 1, **plain}
    assert native_layout("int8", None, sizes) == {"cache_layout": 3, **plain}
    static = native_layout("int8", scales(), sizes)
    assert static == {"cache_layout": 2, "key_scales": [0.5] * 4, "value_scales": [0.25] * 4}


def test_what_does_not_fit_is_refused(random_model: Callable[..., Any]) -> None:
    sizes = random_model("llama").sizes
    with pytest.raises(KernelsError, match="'fp16'; choose one of float32, bfloat16, int8"):
        native_layout("fp16", None, sizes)  # type: ignore[arg-type]
    with pytest.raises(KernelsError, match="'int4'; choose"):
        bytes_per_block(sizes, 16, "int4")  # type: ignore[arg-type]
    with pytest.raises(KernelsError, match="A cache of bfloat16 has no scales"):
        native_layout("bfloat16", scales(), sizes)
    with pytest.raises(ShapeError, match=r"keys are \[3, 2\], but the model has 2 layers of 2"):
        native_layout("int8", scales(3), sizes)


def test_bytes(random_model: Callable[..., Any]) -> None:
    sizes = replace(random_model("llama").sizes, layers=3)
    numbers = 3 * 2 * 16 * (8 + 8)
    assert bytes_per_block(sizes, 16) == 4 * numbers
    assert bytes_per_block(sizes, 16, "bfloat16") == 2 * numbers
    assert bytes_per_block(sizes, 16, "int8", static=True) == numbers
    assert bytes_per_block(sizes, 16, "int8") == numbers + 3 * 2 * 16 * 2 * 4
