"""The engine beside OpenVINO GenAI and llama.cpp: random Llamas, all engines in turn, one run.

    python packages/llm-infer/benchmarks/make_models.py MODELS --peers PEERS   (once)
    python packages/llm-infer/benchmarks/bench_engine.py MODELS --peers PEERS --output results.json

Each round asks every engine of a width for one sample of a figure, and how fast memory is read
just then. A figure's rate is the median of its samples; ours is divided by the best peer's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "workers"))

from protocol import Figure

WORKERS = Path(__file__).parent / "workers"
OURS = "llm"
STEPS = 32
FIGURES = (
    *(Figure(n) for n in (128, 512, 2048)),
    *(Figure(n, steps=STEPS) for n in (128, 1024)),
    *(Figure(128, batch=n, steps=STEPS) for n in (8, 32)),
)
DRAM_MEGABYTES = 2048


@dataclass(frozen=True)
class Contestant:
    """An engine with a model in its own format."""

    name: str
    python: Path
    command: tuple[str, ...]


@dataclass
class Samples:
    """Seconds of an engine, by figure."""

    seconds: dict[Figure, list[float]] = field(default_factory=dict)

    def rate(self, figure: Figure) -> float:
        """Median tokens a second; 0 where nothing was measured."""
        known = self.seconds.get(figure)
        return figure.tokens / statistics.median(known) if known else 0.0


def contestants(
    width: str, shape: str, models: Path, peers: Path, threads: int
) -> list[Contestant]:
    """Every engine that has a model of this width."""
    ours = {
        "int4": ("weight_only_int4", "float32"),
        "int8": ("weight_only_int8", "float32"),
        "bf16": ("", "bfloat16"),
    }
    gguf = {"int4": ("q4_0", "q4_k_m"), "int8": ("q8_0",), "bf16": ("bf16",)}
    openvino = {"int4": "int4", "int8": "int8", "bf16": "fp16"}
    count = str(threads)
    native = ("native_worker.py", str(models / f"llama-{shape}"), count, *ours[width])
    found = [Contestant(OURS, Path(sys.executable), native)]
    folder = models / f"openvino-{shape}-{openvino[width]}"
    if folder.exists():
        python = peers / "openvino" / "bin" / "python"
        name = f"OpenVINO {openvino[width]}"
        found.append(Contestant(name, python, ("openvino_worker.py", str(folder), count)))
    for kind in gguf[width]:
        file = models / f"llama-{shape}-{kind}.gguf"
        if file.exists():
            python = peers / "llama" / "bin" / "python"
            name = f"llama.cpp {kind}"
            found.append(Contestant(name, python, ("llama_cpp_worker.py", str(file), count)))
    return found


@contextmanager
def started(contestant: Contestant) -> Iterator[subprocess.Popen[str]]:
    """The worker, ready; ended with the block."""
    script, *rest = contestant.command
    process = subprocess.Popen(
        [contestant.python, WORKERS / script, *rest],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            msg = f"{contestant.name} did not start: {contestant.command}"
            raise SystemExit(msg)
        yield process
    finally:
        process.kill()
        process.wait()


def asked(name: str, process: subprocess.Popen[str], figure: Figure) -> float:
    """Seconds of one sample. Raises SystemExit with the engine's error."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(vars(figure)) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline() or '{"error": "it crashed"}')
    if "error" in answer:
        msg = f"{name}, {figure}: {answer['error']}"
        raise SystemExit(msg)
    return float(answer["seconds"])


def measured(
    engines: list[Contestant], figures: tuple[Figure, ...], rounds: int, memory: list[str]
) -> tuple[dict[str, Samples], dict[Figure, float]]:
    """Samples by engine, and the median GB/s of memory by figure."""
    samples = {engine.name: Samples() for engine in engines}
    bandwidth: dict[Figure, list[float]] = {}
    with ExitStack() as stack:
        processes = {e.name: stack.enter_context(started(e)) for e in engines}
        for name, process in processes.items():
            asked(name, process, Figure(64, steps=4))
        for number in range(rounds):
            for figure in figures:
                for name, process in processes.items():
                    seconds = asked(name, process, figure)
                    samples[name].seconds.setdefault(figure, []).append(seconds)
                read = subprocess.run(memory, capture_output=True, text=True, check=True)
                bandwidth.setdefault(figure, []).append(float(read.stdout))
            sys.stderr.write(f"round {number + 1} of {rounds}\n")
    return samples, {figure: statistics.median(found) for figure, found in bandwidth.items()}


def rows_of(
    shape: str, width: str, samples: dict[str, Samples], bandwidth: dict[Figure, float]
) -> list[dict[str, object]]:
    """A row a figure: every engine's rate, the best peer, the ratio."""
    rows = []
    for figure, memory in bandwidth.items():
        rates = {name: round(found.rate(figure), 2) for name, found in samples.items()}
        peers = {name: rate for name, rate in rates.items() if name != OURS}
        best = max(peers, key=lambda name: peers[name]) if peers else None
        rows.append(
            {
                "shape": shape,
                "width": width,
                **vars(figure),
                "tokens_per_s": rates,
                "best_peer": best,
                "ratio": round(rates[OURS] / peers[best], 3) if best else None,
                "memory_gb_per_s": memory,
                "samples": {
                    n: [round(s, 5) for s in f.seconds[figure]] for n, f in samples.items()
                },
            }
        )
    return rows


def printed(row: dict[str, object]) -> str:
    """A line of the table."""
    kind = "decode" if row["steps"] else "prefill"
    rates = row["tokens_per_s"]
    assert isinstance(rates, dict)
    every = ", ".join(f"{name} {rate:,.1f}" for name, rate in rates.items())
    where = f"{row['shape']} {row['width']} {kind} context {row['context']} batch {row['batch']}"
    return f"{where}: ratio {row['ratio']} ({every}; memory {row['memory_gb_per_s']} GB/s)"


def main() -> None:
    """Measure the shapes and widths that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--peers", type=Path, required=True, help="venvs openvino and llama")
    parser.add_argument("--shapes", default="0.5b,1.1b")
    parser.add_argument("--widths", default="int4,int8,bf16")
    parser.add_argument("--only", choices=("prefill", "decode"))
    parser.add_argument("--batch", type=int, help="only figures of so many sequences")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file")
    chosen = parser.parse_args()
    figures = tuple(
        f
        for f in FIGURES
        if (chosen.only is None or (f.steps > 0) == (chosen.only == "decode"))
        and chosen.batch in (None, f.batch)
    )
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "read_memory"
        compiler = ["g++", "-O3", "-march=native", "-pthread", str(WORKERS / "read_memory.cpp")]
        subprocess.run([*compiler, "-o", program], check=True)
        memory = [str(program), str(DRAM_MEGABYTES), str(chosen.threads)]
        for shape in chosen.shapes.split(","):
            for width in chosen.widths.split(","):
                engines = contestants(width, shape, chosen.models, chosen.peers, chosen.threads)
                samples, bandwidth = measured(engines, figures, chosen.rounds, memory)
                found = rows_of(shape, width, samples, bandwidth)
                rows += found
                sys.stdout.write("".join(f"{printed(row)}\n" for row in found))
                sys.stdout.flush()
                if chosen.output:
                    chosen.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
