"""Setting Paddle up: in processes of their own, because it can be done once in each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llm_kernels import processors
from llm_kernels.paddle.environment import keep_memory

SCRIPT = """
import os, sys
from llm_kernels.paddle.environment import prepare
threads = prepare({argument})
assert "paddle" in sys.modules
import paddle
stride = paddle.get_flags("FLAGS_use_stride_kernel")["FLAGS_use_stride_kernel"]
print(threads, os.environ["OMP_NUM_THREADS"], stride)
"""


def prepared(argument: str = "", **variables: str) -> tuple[list[str], str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS",)}
    environment.pop("FLAGS_use_stride_kernel", None)
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(argument=argument)],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, **variables},
    )
    return answer.stdout.split(), answer.stderr


def test_all_processors_are_used_and_nothing_is_said() -> None:
    said, complaints = prepared()
    threads = str(processors.available())
    assert said == [threads, threads, "False"]
    assert complaints == ""


def test_what_the_user_has_set_stays() -> None:
    said, _ = prepared(OMP_NUM_THREADS="3", FLAGS_use_stride_kernel="1")
    assert said == ["3", "3", "True"]


def test_an_argument_goes_before_the_environment() -> None:
    assert prepared("1", OMP_NUM_THREADS="2")[0][:2] == ["1", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is the C library's of Linux")
def test_the_allocator_takes_the_settings() -> None:
    assert keep_memory()
