"""Ends of threads, processes and forks while the native code is at work."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PATIENCE = 60

DECODER = """
import os, signal, sys, threading, time
import numpy as np
from llm_kernels import ops
from llm_kernels.decoder import NativeDecoder, StepBatch
from llm_kernels.families import FAMILIES, Sizes, parameters

def decoder(hidden=32):
    sizes = Sizes(hidden=hidden, layers=2, heads=2, kv_heads=1, head_dim=16, mlp=2 * hidden,
                  vocab=64, eps=1e-5, max_positions=512)
    shapes = parameters(FAMILIES["llama"], sizes)
    weight = lambda key: np.full(shapes[key], 0.01, np.float32)
    return NativeDecoder(FAMILIES["llama"], sizes, weight, num_blocks=16, block_size=16, threads=2)

def batch(rows):
    return StepBatch(
        token_ids=np.arange(rows, dtype=np.int32) % 64, positions=np.arange(rows, dtype=np.int32),
        query_start=np.array([0, rows], np.int32), context_length=np.array([rows], np.int32),
        block_tables=np.arange(16, dtype=np.int32)[None], logits_rows=np.array([0], np.int32))

def end_of_child(body, seconds=20):
    child = os.fork()
    if child == 0:
        body()
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", DECODER + textwrap.dedent(body)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


WORK = {
    "linear": "w = np.ones((700, 700), np.float32); call = lambda: ops.linear(w, w)",
    "pack": "w = np.ones((700, 700), np.float32); call = lambda: ops.pack(w)",
    "step": "d, b = decoder(256), batch(200); call = lambda: d.step(b)",
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK.keys())
def test_the_process_ends_while_a_daemon_thread_is_inside(work: str) -> None:
    done = run(
        work
        + """
def forever():
    while True:
        call()
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.3)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_frees_a_decoder() -> None:
    done = run(
        """
        d = decoder()
        time.sleep(0.2)                      # its worker sleeps now
        def free():
            global d
            del d
        sys.exit(end_of_child(free))
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fork_in_the_middle_of_steps_leaves_a_child_that_can_step() -> None:
    done = run(
        """
        d, b = decoder(256), batch(200)
        wanted = d.step(b)
        stop = False
        def forever():
            while not stop:
                d.step(b)
        thread = threading.Thread(target=forever)
        thread.start()
        def again():
            os._exit(0 if np.array_equal(d.step(b), wanted) else 3)
        found = [end_of_child(again) for _ in range(10)]
        stop = True
        thread.join()
        sys.exit(str(found) if any(found) else 0)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_that_the_system_does_not_start_are_a_sentence() -> None:
    done = run(
        """
        import resource
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), used + (300 << 20)))
        x, w = np.ones((4, 64), np.float32), np.ones(64, np.float32)
        try:
            ops.rms_norm(x, w, 1e-5, threads=1000)
        except ValueError as error:
            print(error)
        ops.rms_norm(x, w, 1e-5, threads=2)
        """
    )
    assert done.returncode == 0, done.stderr
    assert "did not start 1000 threads" in done.stdout
    assert "ask for fewer" in done.stdout
