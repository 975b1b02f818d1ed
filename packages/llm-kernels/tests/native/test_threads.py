"""Threads on processors that are busy, and the GIL while arrays are packed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from llm_kernels import ops

ON_ONE_PROCESSOR = """
import os, time
import numpy as np
from llm_kernels import ops
from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import FAMILIES, Sizes, parameters

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

def median(call):
    seconds = []
    for _ in range(200):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))

def step(threads):
    sizes = Sizes(hidden=64, layers=4, heads=4, kv_heads=4, head_dim=16, mlp=128, vocab=1000,
                  eps=1e-5, max_positions=64)
    shapes = parameters(FAMILIES["llama"], sizes)
    weight = lambda key: np.full(shapes[key], 0.01, np.float32)
    decoder = NativeDecoder(FAMILIES["llama"], sizes, weight, num_blocks=1, threads=threads)
    zero, one = np.zeros(1, np.int32), np.ones(1, np.int32)
    batch = StepBatch(token_ids=zero, positions=zero, query_start=np.array([0, 1], np.int32),
                      context_length=one, block_tables=zero[None], logits_rows=zero)
    return lambda: decoder.step(batch)

def linear(threads):
    weight, x = ops.pack(np.ones((256, 256), np.float32)), np.ones((1, 256), np.float32)
    return lambda: ops.linear(x, weight, threads=threads)

work = {"step": step, "linear": linear}[WORK]
print(median(work(1)), median(work(4)))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a processor of its own")
@pytest.mark.parametrize(("work", "factor"), [("step", 2), ("linear", 10)])
def test_threads_without_a_processor_hold_up_nobody(work: str, factor: int) -> None:
    """Waiting for every thread took 50 times as long: each had to get its turn first."""
    code = ON_ONE_PROCESSOR.replace("WORK", repr(work))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    alone, together = map(float, done.stdout.split())
    assert together < factor * alone


def test_other_python_threads_run_while_a_weight_is_packed() -> None:
    weight = np.ones((4000, 4000), np.float32)
    ticks = 0
    running = True

    def count() -> None:
        nonlocal ticks
        while running:
            ticks += 1
            time.sleep(0)

    sys.setswitchinterval(10)  # only a released GIL lets the counter run
    counter = threading.Thread(target=count)
    try:
        counter.start()
        before = ticks
        ops.pack(weight)
        after = ticks
    finally:
        sys.setswitchinterval(0.005)
        running = False
        counter.join()
    assert after - before > 1


GROWING = """
import os, threading, time
import numpy as np
from llm_kernels import ops

def running():  # a thread that was joined may be listed for a moment more
    return min(len(os.listdir("/proc/self/task")) for _ in range(20) if not time.sleep(0.01))

before = running()
x, dense = np.ones((64, 256), np.float32), np.ones((512, 256), np.float32)
weight = ops.pack(dense, threads=1)
wanted = weight(x, threads=1)

def compute():
    for threads in (2, 5, 3, 7, 4, 6, 1, 7):
        assert np.array_equal(weight(x, threads=threads), wanted)

callers = [threading.Thread(target=compute) for _ in range(4)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
print(running() - before)
if os.fork() == 0:
    compute()
    print(running() - 1)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_ops_share_threads_whatever_number_they_ask_for() -> None:
    """A pool for each number had kept one thread less than their sum."""
    done = subprocess.run(
        [sys.executable, "-u", "-c", GROWING], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["6", "6"]
