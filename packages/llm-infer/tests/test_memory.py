"""How much memory is free and how much of it a cache takes."""

from __future__ import annotations

import pytest

from llm_infer.errors import InferError
from llm_infer.memory import CACHE_CAP, available_bytes, plan_cache
from llm_kernels import memory

GB = 10**9
SIZES = {"weight_bytes": 2 * GB, "bytes_per_block": 10**6, "block_size": 64}


def test_room_for_the_sequences_that_were_asked_for():
    plan = plan_cache(free=10 * GB, max_length=100, max_sequences=4, **SIZES)
    assert (plan.num_blocks, plan.bytes) == (8, 8 * 10**6)
    assert "4 x 100 tokens" in plan.reason


def test_half_of_what_is_free_beside_the_weights():
    plan = plan_cache(free=6 * GB, max_length=64 * 900, max_sequences=10, **SIZES)
    assert plan.bytes == 2 * GB
    assert plan.reason == "what 6.0 GB of free memory allow: 2 x 57,600 tokens at once"


def test_never_more_than_the_cap_but_for_one_sequence():
    plan = plan_cache(free=900 * GB, max_length=64 * 1500, max_sequences=10, **SIZES)
    assert plan.bytes == CACHE_CAP
    assert "--num_blocks: 2 x 96,000" in plan.reason
    assert plan_cache(free=900 * GB, max_length=64 * 9000, max_sequences=2, **SIZES).bytes == 9 * GB


def test_no_room_is_an_error_with_the_numbers():
    with pytest.raises(InferError, match=r"1\.0 GB .* 2\.0 GB .* 1\.0 MB"):
        plan_cache(free=GB, max_length=10, max_sequences=1, **SIZES)


def test_what_is_free_and_a_system_that_does_not_say(monkeypatch):
    assert available_bytes() == pytest.approx(memory.available(), rel=0.2)
    monkeypatch.setattr(memory, "available", lambda: 0)
    assert available_bytes() == 0
    monkeypatch.setattr(memory, "available", lambda: None)
    assert available_bytes() == CACHE_CAP
