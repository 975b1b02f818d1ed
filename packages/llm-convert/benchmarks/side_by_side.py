"""Ways to do one thing with a 2 GB checkpoint, by turns on the same two processors.

Every way is a command of its own that writes one folder and has it on disk when it ends. It is
timed from start to end; medians, processors' seconds and peak memory are printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import ml_dtypes
import numpy as np

from llm_cli.console import console, table
from llm_convert.model import save_model
from llm_kernels.families import ParameterKey, detect, parameters, read_sizes

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 20,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
LARGEST = 32000 * 2048 * 2
SHARD = "520MB"
PROCESSORS = 2
COPY = "cp, sync"
_LLM = "from llm_cli.main import main; main()"


@dataclass
class Measured:
    """Seconds, seconds of processors, and peak bytes of the rounds of one way."""

    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def row(self, name: str, size: int, copy: float) -> list[str]:
        """Name, median, rate, share of `copy`'s speed, processors' seconds, peak memory."""
        median = statistics.median(self.seconds)
        spread = f"{min(self.seconds):.2f} to {max(self.seconds):.2f}"
        rate = f"{size / median / 1e6:.0f}"
        peak = f"{max(self.peaks) / 1e6:.0f}"
        busy = f"{statistics.median(self.busy):.1f}"
        return [name, f"{median:.2f} ({spread})", rate, f"{copy / median:.0%}", busy, peak]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark of this folder has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the checkpoints are made")
    parser.add_argument("--verified", action="store_true", help="also with a certificate")
    parser.add_argument("--without-paddle", action="store_true", help="leave the naive way out")
    parser.add_argument("--make", type=Path, help="only make the checkpoint, there")
    return parser


def make_elsewhere(script: str, folder: Path) -> None:
    """Let a process of its own make what `script` measures: peaks are inherited by children."""
    subprocess.run([sys.executable, script, "--make", folder], check=True)


def make(folder: Path) -> None:
    """A random bfloat16 Llama of 2.07 GB in the hub's layout, in shards."""
    spec = detect(CONFIG)
    sizes = read_sizes(spec, CONFIG)
    shapes = parameters(spec, sizes)
    rng = np.random.default_rng(0)

    def weight(key: ParameterKey) -> np.ndarray:
        # Sign, an exponent around 1 and a random mantissa: finite, and as hard to hash as any.
        bits = rng.integers(0, 1 << 16, shapes[key], dtype=np.uint16)
        return ((bits & 0x80FF) | 0x3C00).view(ml_dtypes.bfloat16)

    folder.mkdir(parents=True)
    save_model(
        folder,
        config=CONFIG,
        spec=spec,
        sizes=sizes,
        parameters=weight,
        naming="hf",
        dtype="bfloat16",
        max_shard_size=SHARD,
    )


def llm(*words: str | Path) -> list[str]:
    """The command line of `llm WORDS` in this environment."""
    return [sys.executable, "-c", _LLM, *map(str, words)]


def copying(source: Path, target: Path) -> list[str]:
    """`cp` of a folder, on disk at its end."""
    return ["sh", "-c", 'cp -r "$0" "$1" && sync "$1"/*', str(source), str(target)]


def script(text: str, *paths: Path) -> list[str]:
    """A Python script with paths as its arguments; the last one is on disk at its end."""
    run = f'"{sys.executable}" -c "$0" "$@" && for last; do :; done && sync "$last"/*'
    return ["sh", "-c", run, text, *map(str, paths)]


def compare(ways: Mapping[str, list[str]], inputs: Path, target: Path, rounds: int) -> None:
    """Measure the ways, each of which writes `target`, and print; COPY must be among them."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])
    files = [file for file in inputs.rglob("*") if file.is_file()]
    # Read once, so that the page cache holds it for everyone.
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=True)
    results = {name: Measured() for name in ways}
    for _ in range(rounds):
        for name, command in ways.items():
            _timed(command, results[name])
            shutil.rmtree(target)
    size = 2 * sum(np.prod(shape) for shape in _shapes())
    copy = statistics.median(results[COPY].seconds)
    table(
        f"{size / 1e9:.2f} GB, {rounds} rounds, {PROCESSORS} processors",
        ["way", "seconds (range)", "MB/s", "of cp's speed", "CPU s", "peak MB"],
        [measured.row(name, size, copy) for name, measured in results.items()],
    )
    bar = (2 * LARGEST + 300e6) / 1e6
    console.print(f"Memory bar: {bar:.0f} MB (largest tensor {LARGEST / 1e6:.0f} MB).")
    console.print(f"Load of the machine: {os.getloadavg()[0]:.1f} over the last minute.")


def _shapes() -> list[tuple[int, ...]]:
    spec = detect(CONFIG)
    return list(parameters(spec, read_sizes(spec, CONFIG)).values())


def _timed(command: list[str], measured: Measured) -> None:
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    measured.seconds.append(time.perf_counter() - begin)
    measured.busy.append(usage.ru_utime + usage.ru_stime)
    measured.peaks.append(usage.ru_maxrss * 1024)
    if status:
        message = f"failed: {' '.join(command)}"
        raise RuntimeError(message)
