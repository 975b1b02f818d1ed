from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from llm_kernels import ops, reference

BLOCK = 16


@dataclass
class Batch:
    """Sequences over shuffled blocks; unused blocks and unused places in blocks hold garbage."""

    q: np.ndarray
    keys: np.ndarray  # [blocks, block, G, D], as the reference has them
    values: np.ndarray
    query_start: np.ndarray
    context_length: np.ndarray
    block_tables: np.ndarray

    def native(self, **options: Any) -> np.ndarray:
        return ops.paged_attention(
            self.q,
            np.ascontiguousarray(self.keys.transpose(0, 2, 3, 1)),
            np.ascontiguousarray(self.values.transpose(0, 2, 1, 3)),
            self.query_start,
            self.context_length,
            self.block_tables,
            **options,
        )

    def expected(self, prefixes: list[int] | None = None, **options: Any) -> np.ndarray:
        parts = [
            reference.paged_attention(
                self.q[self.query_start[s] : self.query_start[s + 1]],
                self.keys,
                self.values,
                self.block_tables[s],
                int(self.context_length[s]),
                prefix=prefixes[s] if prefixes else 0,
                **options,
            )
            for s in range(len(self.context_length))
        ]
        return np.concatenate(parts)


def batch(
    *sequences: tuple[int, int], heads: int = 4, groups: int = 2, dim: int = 24, block: int = BLOCK
) -> Batch:
    """`sequences` are (rows of this step, context length)."""
    rng = np.random.default_rng(sum(rows * 7 + length for rows, length in sequences) + dim)
    need = [-(-length // block) for _, length in sequences]
    blocks = rng.permutation(sum(need) + 3)
    tables = np.full((len(sequences), max(need) + 1), -1, np.int32)
    for s, count in enumerate(need):
        tables[s, :count], blocks = blocks[:count], blocks[count:]
    shape = (sum(need) + 3, block, groups, dim)
    rows = [rows for rows, _ in sequences]
    return Batch(
        q=rng.standard_normal((sum(rows), heads, dim)).astype(np.float32),
        keys=rng.standard_normal(shape).astype(np.float32),
        values=rng.standard_normal(shape).astype(np.float32),
        query_start=np.cumsum([0, *rows]).astype(np.int32),
        context_length=np.array([length for _, length in sequences], np.int32),
        block_tables=tables,
    )


MIXED = [(1, 1), (1, 40), (17, 17), (5, 64), (33, 100)]


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 1), (71, 1), (12, 4)])
def test_prefill_and_decode_mixed(isa: str, threads: int, heads: int, groups: int) -> None:
    case = batch(*MIXED, heads=heads, groups=groups)
    found = case.native(isa=isa, threads=threads)
    np.testing.assert_allclose(found, case.expected(), atol=5e-6)


@pytest.mark.parametrize("dim", [1, 8, 20, 64, 128])
@pytest.mark.parametrize("block", [16, 48, 64])
def test_head_dimensions_and_block_sizes(isa: str, dim: int, block: int) -> None:
    case = batch((1, 70), (9, 130), dim=dim, block=block)
    np.testing.assert_allclose(case.native(isa=isa), case.expected(), atol=5e-6)


@pytest.mark.parametrize("window", [1, 7, 16, 33, 500])
def test_window(isa: str, window: int) -> None:
    case = batch(*MIXED)
    found = case.native(isa=isa, window=window)
    np.testing.assert_allclose(found, case.expected(window=window), atol=5e-6)


@pytest.mark.parametrize("heads", [4, 6])
def test_alibi(isa: str, heads: int) -> None:
    case = batch(*MIXED, heads=heads, groups=2)
    slopes = reference.alibi_slopes(heads)
    found = case.native(isa=isa, slopes=slopes)
    np.testing.assert_allclose(found, case.expected(slopes=slopes), atol=5e-6)


def test_prefix_and_scale(isa: str) -> None:
    case = batch((9, 9), (5, 30), (1, 20))
    prefixes = [6, 30, 3]
    found = case.native(isa=isa, prefix_length=np.array(prefixes, np.int32), scale=0.5)
    np.testing.assert_allclose(found, case.expected(prefixes, scale=0.5), atol=5e-6)


def test_large_scores_do_not_overflow(isa: str) -> None:
    case = batch((3, 50))
    case.q *= 1000
    found = case.native(isa=isa)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, case.expected(), atol=1e-3)


def test_a_row_does_not_depend_on_the_rows_beside_it(isa: str) -> None:
    case = batch((40, 100), (7, 7), heads=6, groups=2)
    together = case.native(isa=isa, threads=2)
    for row in (0, 3, 31, 39):
        alone = Batch(
            case.q[row : row + 1],
            case.keys,
            case.values,
            np.array([0, 1], np.int32),
            np.array([61 + row], np.int32),
            case.block_tables[:1],
        )
        np.testing.assert_array_equal(alone.native(isa=isa, threads=1)[0], together[row])


def refused(message: str, case: Batch | None = None, **options: Any) -> None:
    with pytest.raises(ValueError, match=message):
        (case or batch((2, 20), (1, 5))).native(**options)


def test_blocks_outside_of_the_cache_are_refused() -> None:
    for block in (-1, 999):
        case = batch((2, 20), (1, 5))
        case.block_tables[0, 1] = block
        refused(f"block_tables of sequence 0 names block {block}", case)


def test_lengths_that_do_not_fit_are_refused() -> None:
    case = batch((2, 20), (1, 5))
    case.context_length[0] = 1
    refused("context_length of sequence 0 is 1, less than the 2 rows", case)
    case.context_length[0] = 60
    refused("needs 4 blocks; block_tables has room for 3", case)
    case = batch((2, 20), (1, 5))
    case.query_start[1] = 7
    refused("query_start falls from 7 to 3", case)
    case = batch((2, 20), (1, 5))
    case.query_start[0] = 1
    refused("query_start begins with 1", case)
    case = batch((2, 20), (1, 5))
    case.query_start[2] = 2
    refused("q has 3 rows, but query_start ends with 2", case)


def test_arrays_that_do_not_fit_are_refused() -> None:
    case = batch((2, 20), (1, 5), heads=5, groups=2)
    refused("5 heads, which is no multiple of the cache's 2", case)
    refused("Blocks of 12 tokens", batch((2, 20), block=12))
    refused(r"slopes has shape \[3\]; \[4\]", slopes=np.ones(3, np.float32))
    refused("window must be", window=-1)
    refused("prefix_length of sequence 1 is 6", prefix_length=np.array([0, 6], np.int32))
    case = batch((2, 20), (1, 5))
    case.block_tables = case.block_tables.astype(np.int64)
    refused("block_tables has dtype int64", case)
    case = batch((2, 20), (1, 5))
    case.query_start = np.zeros(0, np.int32)
    refused("query_start is empty", case)


EMPTY = """
import numpy as np
from llm_kernels import ops

def call(heads, groups, dim, blocks):
    try:
        ops.paged_attention(
            np.ones((1, heads, dim), np.float32), np.ones((blocks, groups, dim, 16), np.float32),
            np.ones((blocks, groups, 16, dim), np.float32), np.array([0, 1], np.int32),
            np.array([1], np.int32), np.zeros((1, 1), np.int32))
    except ValueError as error:
        print(error)

call(0, 2, 16, 1)
call(2, 2, 0, 1)
call(2, 2, 16, 0)
"""


def test_nothing_to_attend_with_is_refused() -> None:
    """In a process of its own: a division by no heads ends the interpreter."""
    done = subprocess.run([sys.executable, "-c", EMPTY], capture_output=True, text=True, check=True)
    no_heads, no_dimensions, no_blocks = done.stdout.splitlines()
    assert no_heads.startswith("q has 0 heads of 16 dimensions; at least one")
    assert no_dimensions.startswith("q has 2 heads of 0 dimensions; at least one")
    assert no_blocks == "The cache has no blocks, but sequence 0 needs 1."
