"""Real tokens a second of supervised fine-tuning with packed rows and without.

    flock -x LOCK python packages/llm-train/benchmarks/bench_packing.py --output RESULT.json

A Llama of 10.4 million parameters learns questions and answers as long as AdvertiseGen's: with
Qwen2's tokenizer, its 1,070 held-out records have 37.7 +- 13.5 tokens of question (7 to 103) and
78.5 +- 17.9 of answer (38 to 157); lengths are drawn from lognormal distributions of these figures.
All ways have batches of the same number of rows, and rows of at most --max_length tokens:

packed   --zero_padding true: rows hold many samples
filled   a sample a row, filled to --max_length (--pad_to_multiple_of)
longest  a sample a row, filled to the longest of the batch

Every run is `llm train sft` in a process of its own. Ways take turns; the figures are medians of
`tokens_per_s` of metrics.jsonl over all steps but each run's first two. The bar, 3, is for rows
that are filled: a batch of --max_length tokens a row in both. The other ratio says what packing is
worth where rows are filled no further than they must be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from llm_train.loop.watch import read_metrics

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
    "intermediate_size": 688, "vocab_size": 8000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 2048, "tie_word_embeddings": False,
}  # fmt: skip
QUESTION, ANSWER = (3.557, 0.398, 7, 103), (4.337, 0.230, 38, 157)
"""Mean and deviation of the logarithm of tokens, least, most."""
BAR = 3.0
UNWARMED = 2


def main() -> None:
    """Print the speed of every way and the ratios; write all figures to --output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="a JSON file for all figures")
    parser.add_argument("--max_length", type=int, default=2048, help="tokens of a row")
    parser.add_argument("--rows", type=int, default=1, help="rows of a batch")
    parser.add_argument("--steps", type=int, default=8, help="steps of a run, two do not count")
    parser.add_argument("--rounds", type=int, default=3, help="runs of every way")
    parser.add_argument("--layers", type=int, default=CONFIG["num_hidden_layers"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        train(json.loads(asked.worker))
        return
    with tempfile.TemporaryDirectory() as place:
        found = measured(Path(place), asked)
    result = summary(found, asked)
    for name, row in result["ways"].items():
        sys.stdout.write(
            f"{name}: {row['tokens_per_s']:,.0f} real tokens/s at the median "
            f"({row['least']:,.0f} to {row['most']:,.0f}), {row['real_share']:.1%} of its places\n"
        )
    ratios = result["ratios"]
    sys.stdout.write(
        f"packed / filled: {ratios['filled']:.2f} (bar {BAR:.0f}); "
        f"packed / longest: {ratios['longest']:.2f}\n"
    )
    if asked.output:
        asked.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measured(folder: Path, asked: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Way -> the lines of metrics.jsonl that count, of all its runs."""
    write_model(folder / "base", asked.layers)
    # Enough that no row of a packed run is made twice.
    count = asked.rows * asked.steps * (asked.max_length // 100 + 2)
    write_data(folder / "data", count, np.random.default_rng(5))
    ways: dict[str, dict[str, Any]] = {
        "packed": {"zero_padding": True, "pad_to_multiple_of": asked.max_length},
        "filled": {"pad_to_multiple_of": asked.max_length},
        "longest": {},
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for number in range(asked.rounds):
        for name, options in ways.items():
            out = folder / f"{name}-{number}"
            settings = {
                "model_name_or_path": str(folder / "base"),
                "dataset_name_or_path": str(folder / "data"),
                "output_dir": str(out),
                "continue_training": False,
                "src_length": asked.max_length // 2,
                "max_length": asked.max_length,
                "per_device_train_batch_size": asked.rows,
                "max_steps": asked.steps,
                "logging_steps": 1,
                "save_strategy": "no",
                "device": "cpu",
                **options,
            }
            command = [sys.executable, __file__, "--worker", json.dumps(settings)]
            environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
            found[name] += read_metrics(out / "metrics.jsonl")[UNWARMED:]
    return found


def train(settings: dict[str, Any]) -> None:
    """One run of `llm train sft`."""
    from llm_train.sft.options import SftOptions
    from llm_train.sft.run import sft

    sft(SftOptions(**settings))


def summary(found: dict[str, list[dict[str, float]]], asked: argparse.Namespace) -> dict[str, Any]:
    """What is printed and written."""
    ways: dict[str, dict[str, Any]] = {}
    for name, rows in found.items():
        speeds = [row["tokens_per_s"] for row in rows]
        ways[name] = {
            "tokens_per_s": statistics.median(speeds),
            "least": min(speeds),
            "most": max(speeds),
            "real_share": real_share(rows, asked),
            "all": speeds,
        }
    packed = ways["packed"]["tokens_per_s"]
    return {
        "ways": ways,
        "ratios": {n: packed / ways[n]["tokens_per_s"] for n in ("filled", "longest")},
        "bar": BAR,
        "settings": {
            n: getattr(asked, n)
            for n in ("max_length", "rows", "steps", "rounds", "layers", "threads")
        },
        "machine": {"processor": platform.processor(), "processors": os.cpu_count()},
        "paddlepaddle": metadata.version("paddlepaddle"),
    }


def real_share(rows: list[dict[str, float]], asked: argparse.Namespace) -> float:
    """Real tokens of a row of --max_length places, at the median of the steps."""
    steps = np.diff([row["tokens"] for row in rows])
    # Where one run ends and the next begins the count starts anew.
    return float(np.median(steps[steps > 0])) / (asked.rows * asked.max_length)


def write_model(folder: Path, layers: int) -> None:
    """config.json, and a tokenizer of as many words as the model has embeddings."""
    folder.mkdir()
    config = {**CONFIG, "num_hidden_layers": layers}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    words = {"</s>": 0, **{f"w{i}": i for i in range(1, CONFIG["vocab_size"])}}
    end = {
        "id": 0, "content": "</s>", "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    }  # fmt: skip
    tokenizer = {
        "version": "1.0",
        "added_tokens": [end],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w1"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}', encoding="utf-8")


def write_data(folder: Path, count: int, rng: np.random.Generator) -> None:
    """train.json of `count` questions and answers of random words."""
    folder.mkdir()
    with (folder / "train.json").open("w", encoding="utf-8") as stream:
        for _ in range(count):
            row = {"src": text(QUESTION, rng), "tgt": text(ANSWER, rng)}
            stream.write(json.dumps(row) + "\n")


def text(lengths: tuple[float, float, int, int], rng: np.random.Generator) -> str:
    """Words of a length drawn from a distribution."""
    mean, deviation, least, most = lengths
    count = int(np.clip(np.round(rng.lognormal(mean, deviation)), least, most))
    return " ".join(f"w{i}" for i in rng.integers(1, CONFIG["vocab_size"], count))


if __name__ == "__main__":
    main()
