"""Runs cases on 1, 2, ... processes that share one import of Paddle: `herd.py JOBS.json`.

A job is {"processes": n, "log": path, "cases": [{"name", "output", ...}]}; a case is trained by all
of the job's processes together. Starting Paddle costs more than the cases, so the processes are
forked from one that has imported it and computed nothing. It ends with 1 where a job failed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from llm_train.quiet import import_paddlenlp

import_paddlenlp()

import paddlenlp.transformers.model_utils  # noqa: E402, F401

sys.path.insert(0, str(Path(__file__).parent))
SECONDS = 400


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def environment(rank: int, ports: list[int]) -> dict[str, str]:
    """What Paddle's launcher would set for a process."""
    *own, master = ports
    return {
        "PADDLE_TRAINER_ID": str(rank),
        "PADDLE_TRAINERS_NUM": str(len(own)),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(f"127.0.0.1:{port}" for port in own),
        "PADDLE_CURRENT_ENDPOINT": f"127.0.0.1:{own[rank]}",
        "PADDLE_MASTER": f"127.0.0.1:{master}",
        "PADDLE_RANK_IN_NODE": str(rank),
        "PADDLE_DISTRI_BACKEND": "gloo",
    }


def work(job: dict[str, Any], rank: int, ports: list[int]) -> int:
    """One process of a job; its exit code."""
    log = os.open(f"{job['log']}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if job["processes"] > 1:
        os.environ.update(environment(rank, ports))
    try:
        from cases import train

        for case in job["cases"]:
            began = time.monotonic()
            train(case)
            sys.stderr.write(f"{case['name']}: {time.monotonic() - began:.2f} s\n")
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def run(job: dict[str, Any]) -> bool:
    """All processes of a job; whether all ended well. The first failure ends the others."""
    ports = free_ports(job["processes"] + 1)
    waiting = set()
    for rank in range(job["processes"]):
        child = os.fork()
        if child == 0:
            os._exit(work(job, rank, ports))
        waiting.add(child)
    good, deadline = True, time.monotonic() + SECONDS
    while waiting:
        child, status = os.waitpid(-1, os.WNOHANG)
        waiting.discard(child)
        good = good and not status
        if not good or time.monotonic() > deadline:
            good = False
            for other in waiting:
                os.kill(other, signal.SIGKILL)
        time.sleep(0.02)
    return good


if __name__ == "__main__":
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(0 if all(run(job) for job in jobs) else 1)
