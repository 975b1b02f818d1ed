"""Decoding beside other programs: does throughput drop in proportion, or collapse?

    python packages/llm-infer/benchmarks/bench_oversubscription.py MODEL [--quant_type ...]

MODEL: a folder with a config.json; weights are random. By turns: two threads of `llm infer
--benchmark` alone, and with one busy process a processor beside. Threads that wait by spinning lose
far more than the half that the others take; bar: at least 40 % is left.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY = "while True: pass"


@contextmanager
def busy(count: int) -> Iterator[None]:
    """`count` processes that do nothing but compute."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def decode_rate(model: Path, quant_type: str, threads: int) -> float:
    """Tokens a second of one sequence, 128 tokens read and 128 written."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "llm_cli", "infer", "--model_name_or_path", str(model)]
        command += ["--use_fake_parameter", "--dtype", "bfloat16", "--quant_type", quant_type]
        command += ["--benchmark", "--src_length", "128", "--max_length", "256"]
        command += ["--threads", str(threads), "--output_file", str(output)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return float(json.loads(output.read_text(encoding="utf-8"))["decode_tokens_per_s"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quant_type", default="weight_only_int4")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    processors = len(os.sched_getaffinity(0))
    alone, beside = [], []
    for _ in range(options.rounds):
        alone.append(decode_rate(options.model, options.quant_type, processors))
        with busy(processors):
            beside.append(decode_rate(options.model, options.quant_type, processors))
    left = statistics.median(beside) / statistics.median(alone)
    sys.stdout.write(
        f"{processors} threads, tokens a second: alone {statistics.median(alone):.1f}, beside "
        f"{processors} busy processes {statistics.median(beside):.1f}: {left:.0%} is left\n"
    )


if __name__ == "__main__":
    main()
