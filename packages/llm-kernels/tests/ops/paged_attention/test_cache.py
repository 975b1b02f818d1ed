"""Keys and values as each layout of the cache keeps them, long contexts, and shared blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from llm_kernels import native, ops, reference
from llm_kernels.native import runnable_isas

LAYOUTS = ["float32", "bfloat16", "int8-static", "int8-dynamic"]
ISAS = runnable_isas()
DTYPES = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "int8": np.int8}


@dataclass
class Cache:
    """A cache whose every slot was stored, beside what was stored."""

    dtype: Any
    keys: np.ndarray  # [blocks, block, G, D] as they were before storing
    values: np.ndarray
    arrays: tuple[np.ndarray, np.ndarray]
    scales: dict[str, np.ndarray]

    @classmethod
    def filled(
        cls,
        layout: str,
        blocks: int,
        groups: int = 2,
        dim: int = 24,
        wide: int = 24,
        block: int = 16,
    ) -> Cache:
        rng = np.random.default_rng(blocks + dim)
        dtype = layout.split("-")[0]
        keys = rng.standard_normal((blocks, block, groups, dim)).astype(np.float32)
        values = rng.standard_normal((blocks, block, groups, wide)).astype(np.float32)
        keys[0, 0, 0] = 0  # no largest number to take a scale from
        shape = (groups,) if layout == "int8-static" else (blocks, groups, block)
        scales = {}
        if dtype == "int8":
            scales = {name: np.full(shape, 0.02, np.float32) for name in ("key", "value")}
        made = cls(
            dtype,
            keys,
            values,
            (
                np.zeros((blocks, groups, dim, block), DTYPES[dtype]),
                np.zeros((blocks, groups, block, wide), DTYPES[dtype]),
            ),
            {f"{name}_scales": array for name, array in scales.items()},
        )
        ops.store_key_value(
            keys.reshape(-1, groups, dim),
            values.reshape(-1, groups, wide),
            np.arange(blocks * block, dtype=np.int32),
            *made.arrays,
            **made.scales,
        )
        return made

    def attend(self, q: np.ndarray, batch: tuple[np.ndarray, ...], **options: Any) -> np.ndarray:
        return ops.paged_attention(q, *self.arrays, *batch, **self.scales, **options)

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """What the reference says that the cache holds."""
        static = {name: x if x.ndim == 1 else None for name, x in self.scales.items()}
        return (
            reference.kept(self.keys, self.dtype, static.get("key_scales")),
            reference.kept(self.values, self.dtype, static.get("value_scales")),
        )

    def expected(self, q: np.ndarray, table: np.ndarray, length: int, **options: Any) -> np.ndarray:
        return reference.paged_attention(q, *self.kept(), table, length, **options)


def sequences(*spans: tuple[int, int], tables: Sequence[Sequence[int]]) -> tuple[np.ndarray, ...]:
    """(rows, context) of each sequence and its blocks."""
    width = max(len(table) for table in tables)
    padded = [[*table, *[-1] * (width - len(table))] for table in tables]
    return (
        np.cumsum([0, *(rows for rows, _ in spans)]).astype(np.int32),
        np.array([length for _, length in spans], np.int32),
        np.array(padded, np.int32),
    )


def queries(rows: int, heads: int = 4, dim: int = 24) -> np.ndarray:
    return np.random.default_rng(rows).standard_normal((rows, heads, dim)).astype(np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_stored_is_what_the_reference_keeps(layout: str) -> None:
    cache = Cache.filled(layout, 3, dim=20, wide=12)
    found = [
        cache.arrays[0].transpose(0, 3, 1, 2).astype(np.float32),
        cache.arrays[1].transpose(0, 2, 1, 3).astype(np.float32),
    ]
    for i, name in enumerate(("key_scales", "value_scales")):
        scales = cache.scales.get(name)
        if scales is not None:
            each = scales if scales.ndim == 1 else scales.transpose(0, 2, 1)
            found[i] = found[i] * each[..., None]
    for held, wanted in zip(found, cache.kept(), strict=True):
        np.testing.assert_array_equal(held, wanted)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("dim", "wide", "block"), [(24, 24, 16), (20, 12, 48), (48, 32, 64)])
def test_attention_reads_every_layout(
    isa: str, layout: str, dim: int, wide: int, block: int
) -> None:
    cache = Cache.filled(layout, 4, dim=dim, wide=wide, block=block)
    q = queries(10, dim=dim)
    batch = sequences((9, 2 * block - 3), (1, block + 5), tables=[[2, 0], [1, 3]])
    found = cache.attend(q, batch, isa=isa, threads=2)
    assert found.shape == (10, 4, wide)
    np.testing.assert_allclose(
        found[:9], cache.expected(q[:9], np.array([2, 0]), 2 * block - 3), atol=5e-6
    )
    np.testing.assert_allclose(
        found[9:], cache.expected(q[9:], np.array([1, 3]), block + 5), atol=5e-6
    )


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"window": 300},
    "alibi": {"slopes": reference.alibi_slopes(4)},
    "capped": {"cap": 1.5},
    "capped-alibi-window": {"cap": 2.0, "slopes": reference.alibi_slopes(4), "window": 40},
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_long_contexts_are_cut_and_joined(isa: str, options: dict[str, Any]) -> None:
    """700 keys are three parts; 40 rows see the end of the second and the third."""
    cache = Cache.filled("float32", 44)
    q = queries(40)
    table = np.random.default_rng(5).permutation(44)
    batch = sequences((40, 540), tables=[table])
    found = cache.attend(q, batch, isa=isa, threads=3, **options)
    np.testing.assert_allclose(found, cache.expected(q, table, 540, **options), atol=5e-6)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize(("dim", "wide", "block"), [(64, 32, 32), (96, 64, 64)])
def test_a_matrix_unit_rounds_queries_and_shares_to_bfloat16(
    dim: int, wide: int, block: int, options: dict[str, Any]
) -> None:
    """Where there is one; the widths are those that its tiles take."""
    blocks = 700 // block + 1
    cache = Cache.filled("bfloat16", blocks, dim=dim, wide=wide, block=block)
    q = queries(90, dim=dim)
    table = np.random.default_rng(5).permutation(blocks)
    found = cache.attend(q, sequences((90, 640), tables=[table]), threads=3, **options)
    if native.selected_isa() != "amx":
        expected = cache.expected(q, table, 640, **options)
        np.testing.assert_allclose(found, expected, atol=5e-6)
        return
    scale = np.float32(dim**-0.5)
    rounded = (q * scale).astype(ml_dtypes.bfloat16).astype(np.float32) / scale
    expected = cache.expected(rounded, table, 640, **options)
    # A share that is rounded is off by 2^-9 of itself at most, and values are below 5.
    np.testing.assert_allclose(found, expected, atol=5 * 2**-9)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dim", [24, 64])
@pytest.mark.parametrize("window", [0, 200])
def test_results_do_not_depend_on_threads_or_on_other_rows(
    isa: str, layout: str, dim: int, window: int
) -> None:
    block = dim // 24 * 16
    cache = Cache.filled(layout, 704 // block, dim=dim, wide=dim, block=block)
    q = queries(61, dim=dim)
    table = list(np.random.default_rng(6).permutation(704 // block))
    spans = [(60, 540), (1, 700)]
    together = cache.attend(
        q, sequences(*spans, tables=[table, table]), isa=isa, threads=1, window=window
    )
    for threads in (2, 5):
        again = cache.attend(
            q, sequences(*spans, tables=[table, table]), isa=isa, threads=threads, window=window
        )
        np.testing.assert_array_equal(again, together)
    for row, length in ((0, 481), (31, 512), (32, 513), (59, 540), (60, 700)):
        alone = cache.attend(
            q[row : row + 1],
            sequences((1, length), tables=[table]),
            isa=isa,
            threads=4,
            window=window,
        )
        np.testing.assert_array_equal(alone[0], together[row])


@pytest.mark.parametrize("isa", ISAS)
def test_many_heads_of_one_key_head_are_shared_out(isa: str) -> None:
    cache = Cache.filled("float32", 20, groups=1)
    q = queries(1, heads=71)
    batch = sequences((1, 300), tables=[range(20)])
    found = cache.attend(q, batch, isa=isa, threads=2)
    np.testing.assert_allclose(found, cache.expected(q, np.arange(20), 300), atol=5e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window", [None, 30])
def test_tuned_prefixes_are_blocks_in_front_that_sequences_share(
    isa: str, window: int | None
) -> None:
    """20 keys of a prefix fill a block and a part of the next, where each sequence goes on."""
    cache = Cache.filled("float32", 6)
    q = queries(14)
    slopes = reference.alibi_slopes(4)
    batch = sequences((12, 32), (2, 40), tables=[[4, 1, 0], [4, 2, 3]])
    found = cache.attend(q, batch, isa=isa, window=window, slopes=slopes)
    for rows, table, length in ((slice(12), [4, 1], 32), (slice(12, 14), [4, 2, 3], 40)):
        wanted = cache.expected(q[rows], np.array(table), length, window=window, slopes=slopes)
        np.testing.assert_allclose(found[rows], wanted, atol=5e-6)


def refused(message: str, cache: Cache, **change: Any) -> None:
    with pytest.raises(ValueError, match=message):
        cache.attend(queries(1), sequences((1, 9), tables=[[0]]), **change)


def test_scales_that_do_not_fit_are_refused() -> None:
    cache = Cache.filled("int8-dynamic", 2)
    cache.scales["value_scales"] = cache.scales["value_scales"][:1]
    refused(r"value_scales has shape \[1, 2, 16\]; \[2, 2, 16\]", cache)
    cache.scales = {}
    refused("A cache of int8 has scales", cache)
    plain = Cache.filled("float32", 2)
    plain.scales = {"key_scales": np.ones(2, np.float32)}
    refused("Scales belong to a cache of int8", plain)
    static = Cache.filled("int8-static", 2)
    del static.scales["value_scales"]
    refused("value_scales is None", static)


def test_slots_outside_of_the_cache_are_refused_and_change_nothing() -> None:
    cache = Cache.filled("float32", 2)
    before = cache.arrays[0].copy()
    one = np.ones((2, 2, 24), np.float32)
    for slot in (-1, 32):
        with pytest.raises(ValueError, match=rf"slots\[1\] is {slot}; .* 0 to 31"):
            ops.store_key_value(one, one, np.array([0, slot], np.int32), *cache.arrays)
    cache.arrays[1].flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ops.store_key_value(one, one, np.array([0, 1], np.int32), *cache.arrays)
    np.testing.assert_array_equal(cache.arrays[0], before)
