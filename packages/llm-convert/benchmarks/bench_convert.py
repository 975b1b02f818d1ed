"""A 2 GB checkpoint from the hub's layout to PaddleNLP's: ours, `cp`, and loading everything.

    python packages/llm-convert/benchmarks/bench_convert.py [--rounds 3] [--folder DIR]

A random bfloat16 Llama in four shards is made in DIR (a temporary folder by default), and read once
so that the page cache holds it for everyone. Then, round after round and side by side on the same
two processors: `llm convert`, `cp` of the same files with `sync`, and a script that loads all with
Paddle, transposes and saves. Each is a process of its own, timed from start to end with its
output on disk; medians and peak memory are printed. `--verified` adds a conversion with its
certificate.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
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
PROCESSORS = 2
LOADED = "load all with Paddle, transpose, save"
# PaddlePaddle takes and gives bfloat16 as NumPy's uint16.
PADDLE = """
import sys
from pathlib import Path
import ml_dtypes, numpy, paddle
from safetensors.numpy import load_file, save_file
source, target = map(Path, sys.argv[1:])
target.mkdir()
tensors = {}
for file in sorted(source.glob("*.safetensors")):
    for name, array in load_file(file).items():
        tensors[name] = paddle.to_tensor(array.view(numpy.uint16))
for name, tensor in tensors.items():
    if tensor.ndim == 2 and "embed" not in name:
        tensors[name] = tensor.T.contiguous()
arrays = {name: tensor.numpy().view(ml_dtypes.bfloat16) for name, tensor in tensors.items()}
save_file(arrays, target / "model.safetensors")
"""
CONVERT = "from llm_cli.main import main; main()"


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


def make(folder: Path) -> None:
    """The random checkpoint, in the hub's layout."""
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
        max_shard_size="520MB",
    )


def timed(command: list[str], measured: Measured) -> None:
    """Run `command` to its end, then wait until the disk has its output."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    measured.seconds.append(time.perf_counter() - begin)
    measured.busy.append(usage.ru_utime + usage.ru_stime)
    measured.peaks.append(usage.ru_maxrss * 1024)
    if status:
        message = f"failed: {' '.join(command)}"
        raise RuntimeError(message)


def ways(source: Path, target: Path, *, verified: bool) -> dict[str, list[str]]:
    """The commands that are compared; each writes `target` and has it on disk when it ends."""
    python = sys.executable
    ours = [python, "-c", CONVERT, "convert", "--from_torch", str(source)]
    ours += ["--output_path", str(target), "--max_shard_size", "520MB", "--verify"]
    synced = 'cp -r "$0" "$1" && sync "$1"/*'
    loaded = f'"{python}" -c "$2" "$0" "$1" && sync "$1"/*'
    found = {
        "llm convert": [*ours, "false"],
        "cp, sync": ["sh", "-c", synced, str(source), str(target)],
        LOADED: [*("sh", "-c", loaded, str(source), str(target), PADDLE)],
    }
    if verified:
        found["llm convert, with its certificate"] = [*ours, "true"]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--verified", action="store_true")
    parser.add_argument("--without-paddle", action="store_true")
    parser.add_argument("--make", type=Path, help="only make the checkpoint, there")
    arguments = parser.parse_args()
    if arguments.make:
        make(arguments.make)
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        # Elsewhere: a child's peak is at least what its parent had when it began.
        subprocess.run([sys.executable, __file__, "--make", source], check=True)
        size = sum(file.stat().st_size for file in source.iterdir())
        subprocess.run(["cat", *source.iterdir()], stdout=subprocess.DEVNULL, check=True)
        compared = ways(source, target, verified=arguments.verified)
        if arguments.without_paddle:
            del compared[LOADED]
        results = {name: Measured() for name in compared}
        for _ in range(arguments.rounds):
            for name, command in compared.items():
                timed(command, results[name])
                shutil.rmtree(target)
        copy = statistics.median(results["cp, sync"].seconds)
        table(
            f"{size / 1e9:.2f} GB, {arguments.rounds} rounds, {PROCESSORS} processors",
            ["way", "seconds (range)", "MB/s", "of cp's speed", "CPU s", "peak MB"],
            [measured.row(name, size, copy) for name, measured in results.items()],
        )
        bar = (2 * LARGEST + 300e6) / 1e6
        console.print(f"Memory bar: {bar:.0f} MB (largest tensor {LARGEST / 1e6:.0f} MB).")
        console.print(f"Load of the machine: {os.getloadavg()[0]:.1f} over the last minute.")


if __name__ == "__main__":
    main()
