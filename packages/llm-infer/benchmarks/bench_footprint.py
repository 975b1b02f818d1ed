"""Memory of an engine beyond its weights and KV cache, after prompts of two lengths.

    python packages/llm-infer/benchmarks/bench_footprint.py MODEL [--quant_type ...]

MODEL: a folder with a config.json; weights are random. Each length runs in a process of its own.
What grows with the prompt are the activations of a step, which takes up to --max_batch_tokens
tokens; bar: 150 MB at 2,048 tokens of a model of 0.5 billion parameters.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEGABYTE = 1e6
LENGTHS = (128, 2048)
NEW_TOKENS = 8


def figures(options: argparse.Namespace, length: int) -> dict[str, Any]:
    """Those of `llm infer --benchmark` for one prompt of `length` tokens."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "llm_cli", "infer", "--use_fake_parameter", "--benchmark"]
        command += ["--model_name_or_path", str(options.model), "--dtype", "bfloat16"]
        command += ["--quant_type", options.quant_type, "--src_length", str(length)]
        command += ["--max_length", str(length + NEW_TOKENS), "--output_file", str(output)]
        command += ["--max_batch_tokens", str(options.max_batch_tokens)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
        return found


def main() -> None:
    """Measure and print a line a length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quant_type", default="weight_only_int4")
    parser.add_argument("--max_batch_tokens", type=int, default=2048)
    options = parser.parse_args()
    for length in LENGTHS:
        found = figures(options, length)
        weights, cache = (found[f"{name}_bytes"] / MEGABYTE for name in ("weight", "cache"))
        sys.stdout.write(
            f"{length} tokens: {found['rss_mb']:.1f} MB resident, weights {weights:.1f}, cache "
            f"{cache:.1f}: {found['rss_mb'] - weights - cache:.1f} MB beyond\n"
        )


if __name__ == "__main__":
    main()
