"""How much memory is free and how much of it a cache takes."""

from __future__ import annotations

import pytest

from llm_infer.errors import InferError
from llm_infer.memory import CACHE_CAP, available_bytes, plan_cache

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


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_machine_and_its_control_group(tmp_path):
    assert available_bytes(tmp_path) == CACHE_CAP
    write(tmp_path, "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:  5000 kB\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    write(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    write(tmp_path, "sys/fs/cgroup/memory.max", "3000000\n")
    write(tmp_path, "sys/fs/cgroup/memory.current", "2500000\n")
    write(tmp_path, "sys/fs/cgroup/memory.stat", "anon 1000000\ninactive_file 1200000\n")
    assert available_bytes(tmp_path) == 3000000 - 2500000 + 1200000


def test_this_machine():
    assert available_bytes() > 10**6
