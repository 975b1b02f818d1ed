"""JSON Lines to `.bin/.idx`, end to end: ours beside Megatron's way, in turns.

    python packages/llm-data/benchmarks/bench_tokenize.py --tokenizer FOLDER [--input FILE.jsonl]
        [--megabytes 100] [--processors 1] [--rounds 3]

Without `--input`, text of this machine (documentation, headers, sources) is gathered, every file
once. Every way is a process of its own with its worker processes, all of them on the first
`--processors` processors, timed from start to end with its output on disk. Ours is measured with
the fast library (where it is installed) and without it. Megatron's way is what its
preprocess_data.py does: lines go one by one through a pool to a tokenizer, and each answer becomes
an array that is written. The files of all ways must be equal, byte for byte.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llm_cli.console import console, table

ROOTS = ("/usr/share/doc", "/usr/include", "/usr/share/man", "/usr/lib/python3", sys.prefix)
SUFFIXES = (".txt", ".md", ".rst", ".py", ".h", ".c", ".html", ".gz", ".pl", ".pm", "")
MEGATRON = """
import json, multiprocessing, sys
import numpy as np
from llm_data.indexed import IndexedWriter
from llm_data.tokenizer import load_tokenizer

source, folder, prefix, workers = sys.argv[1:]

def start():
    global tokenizer
    tokenizer = load_tokenizer(folder)

def encode(line):
    return [*tokenizer.encode(json.loads(line)["text"]), tokenizer.eos_token_id]

if __name__ == "__main__":
    with (
        multiprocessing.Pool(int(workers), initializer=start) as pool,
        open(source, encoding="utf-8") as lines,
        IndexedWriter(prefix, np.uint16 if load_tokenizer(folder).vocab_size < 65500 else np.int32)
        as writer,
    ):
        for ids in pool.imap(encode, lines, 32):
            writer.add_document(ids)
"""


def main() -> None:
    """Gather, measure, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--input")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--processors", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", default="", help="Ways to leave out, divided by commas.")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    available = sorted(os.sched_getaffinity(0))[: options.processors]
    os.sched_setaffinity(0, available)
    with tempfile.TemporaryDirectory() as folder:
        source = options.input or str(gather(Path(folder) / "corpus.jsonl", options.megabytes))
        size = Path(source).stat().st_size / 1e6
        ways = {
            name: command
            for name, command in commands(source, options.tokenizer, len(available)).items()
            if name not in options.without.split(",")
        }
        measure(ways, Path(folder), size, options.rounds)


def commands(source: str, tokenizer: str, workers: int) -> dict[str, list[str]]:
    """Command of each way; the prefix of its output is added."""
    ours = [sys.executable, "-m", "llm_cli", "data", "tokenize", "--input_path", source]
    ours += ["--tokenizer_name_or_path", tokenizer, "--append_eos", "--max_repeated_len", "0"]
    ours += ["--workers", str(workers)]
    ways = {
        "ours without gigatoken": [*ours, "--fast_tokenizer", "off", "--output_prefix"],
        "Megatron": [sys.executable, "-c", MEGATRON, source, tokenizer],
    }
    try:
        console.print(f"gigatoken {version('gigatoken')}")
    except PackageNotFoundError:
        console.print("gigatoken is not installed: measured without it")
        return ways
    return {"ours": [*ours, "--fast_tokenizer", "require", "--output_prefix"], **ways}


def measure(ways: dict[str, list[str]], folder: Path, megabytes: float, rounds: int) -> None:
    """Run every way in turns; print medians."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    busy: dict[str, list[float]] = {name: [] for name in ways}
    first: bytes | None = None
    for number in range(rounds):
        for name, command in ways.items():
            prefix = folder / f"out{number}"
            extra = [str(len(os.sched_getaffinity(0)))] if name == "Megatron" else []
            before = _processor_seconds()
            started = time.monotonic()
            subprocess.run(
                [*command, str(prefix), *extra],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            wall[name].append(time.monotonic() - started)
            busy[name].append(_processor_seconds() - before)
            files = [prefix.with_name(prefix.name + end) for end in (".bin", ".idx")]
            content = b"".join(file.read_bytes() for file in files)
            first = first or content
            assert content == first, f"{name} wrote other files"
            for file in folder.glob("out*"):
                file.unlink()
    rows = [
        (name, seconds, megabytes / seconds, processor, megabytes / processor)
        for name in ways
        for seconds in [statistics.median(wall[name])]
        for processor in [statistics.median(busy[name])]
    ]
    title = f"{megabytes:.1f} MB of JSON Lines, {len(os.sched_getaffinity(0))} processors, medians"
    table(title, ("way", "seconds", "MB/s", "processor s", "MB per processor s"), rows)


def gather(path: Path, megabytes: float) -> Path:
    """Text of this machine as JSON Lines; every file once."""
    seen: set[int] = set()
    total = 0
    with path.open("w", encoding="utf-8") as stream:
        for text in texts():
            if hash(text) in seen:
                continue
            seen.add(hash(text))
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            total += len(text)
            if total >= megabytes * 1e6:
                break
    return path


def texts() -> Iterator[str]:
    """Files below `ROOTS` that are text, none above 2 MB."""
    for root in ROOTS:
        for place, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                if path.suffix not in SUFFIXES or path.is_symlink():
                    continue
                try:
                    data = path.read_bytes() if path.stat().st_size < 2e6 else b""
                    data = gzip.decompress(data) if path.suffix == ".gz" else data
                    if len(data) > 200 and b"\0" not in data:
                        yield data.decode("utf-8")
                except (OSError, UnicodeDecodeError, EOFError):
                    continue


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
