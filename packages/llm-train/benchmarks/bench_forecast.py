"""What `llm train plan` forecasts beside what runs measure: memory and tokens a second.

    flock -x LOCK python packages/llm-train/benchmarks/bench_forecast.py

Every run is a process of its own, so that its peak is its own. `--only NAME`: that run alone.
`--processor_time`: one thread, and seconds of the processor for both the pace and the run, for a
machine that does other work; so the factors of `llm_train.forecast.speed` were fitted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from llm_data.indexed import IndexedWriter
from llm_train.pretrain.options import PretrainOptions
from llm_train.pretrain.run import pretrain

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 8,
    "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}  # fmt: skip
TEN = {"hidden_size": 256, "num_hidden_layers": 8, "vocab_size": 8000}
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "0.1 M, 4 x 32": (
        {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 256},
        {"per_device_train_batch_size": 4, "max_seq_length": 32, "max_steps": 40},
    ),
    "0.4 M, 4 x 64": (
        {"hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 1000},
        {"per_device_train_batch_size": 4, "max_seq_length": 64, "max_steps": 30},
    ),
    "2 M, 8 x 128": (
        {"hidden_size": 128, "num_hidden_layers": 6, "vocab_size": 4000},
        {"max_seq_length": 128, "max_steps": 10},
    ),
    "10 M, 1 x 64": (TEN, {"per_device_train_batch_size": 1, "max_seq_length": 64}),
    "10 M, 8 x 256": (TEN, {}),
    "10 M, 8 x 256, recompute": (TEN, {"recompute": True}),
    "10 M, 2 x 256, 4 at a step": (
        TEN,
        {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4},
    ),
    "10 M, 2 x 1024": (TEN, {"per_device_train_batch_size": 2, "max_seq_length": 1024}),
    "9 M, 4 x 128, most of it words": (
        {"hidden_size": 128, "num_hidden_layers": 2, "vocab_size": 32000},
        {"per_device_train_batch_size": 4, "max_seq_length": 128},
    ),
    "52 M, 4 x 256": (
        {"hidden_size": 512, "num_hidden_layers": 12, "vocab_size": 16000},
        {"per_device_train_batch_size": 4},
    ),
}
SAID = re.compile(
    r"forecast (\S+) MB, measured (\S+) MB.*forecast (\S+) tokens/s.*measured (\S+)\."
)


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=RUNS)
    parser.add_argument("--processor_time", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        if asked.processor_time:
            count_processor_time()
        run(Path(asked.worker), *RUNS[asked.only])
        return
    for name in [asked.only] if asked.only else RUNS:
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, __file__, "--only", name, "--worker", place]
            command += ["--processor_time"] if asked.processor_time else []
            subprocess.run(
                command,
                check=True,
                stderr=subprocess.DEVNULL,
                env=os.environ | ({"OMP_NUM_THREADS": "1"} if asked.processor_time else {}),
            )
            found = SAID.search((Path(place) / "log").read_text(encoding="utf-8"))
        assert found is not None
        forecast, measured = (float(found[i].replace(",", "")) for i in (3, 4))
        sys.stdout.write(
            f"{name}: memory forecast {found[1]} MB, measured {found[2]} MB; "
            f"tokens/s forecast {found[3]}, measured {found[4]}, "
            f"{forecast / measured:.2f} times\n"
        )
        sys.stdout.flush()


def count_processor_time() -> None:
    """Let the pace and the run count seconds of this process's threads."""
    from llm_train.forecast import pace
    from llm_train.loop import watch

    clock = SimpleNamespace(perf_counter=time.process_time, monotonic=time.process_time)
    pace.time = watch.time = clock  # type: ignore[assignment]


def run(folder: Path, sizes: dict[str, Any], options: dict[str, Any]) -> None:
    """A few steps; what is said goes to folder/log."""
    logging.getLogger("llm_train").addHandler(logging.FileHandler(folder / "log"))
    logging.getLogger("llm_train").setLevel(logging.INFO)
    config = {**CONFIG, **sizes, "intermediate_size": sizes["hidden_size"] * 11 // 4}
    (folder / "config").mkdir()
    (folder / "config" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with IndexedWriter(folder / "data" / "text", np.uint16) as writer:
        for _ in range(40):
            writer.add_document(np.random.default_rng(0).integers(0, config["vocab_size"], 3000))
    settings: dict[str, Any] = {
        "max_seq_length": 256,
        "per_device_train_batch_size": 8,
        "max_steps": 6,
        "logging_steps": 1000,
        "save_strategy": "no",
        "split": "1,0,0",
        "device": "cpu",
        **options,
    }
    pretrain(
        PretrainOptions(
            model_name_or_path=str(folder / "config"),
            input_dir=str(folder / "data"),
            output_dir=str(folder / "out"),
            **settings,
        )
    )


if __name__ == "__main__":
    main()
