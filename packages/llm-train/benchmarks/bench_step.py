"""Seconds of a training step: this toolchain against Hugging Face transformers on torch.

    flock -x LOCK python packages/llm-train/benchmarks/bench_step.py --torch_python VENV/bin/python

One Llama of 10.4 million parameters, float32, two threads, batches of 8 x 256 tokens, AdamW and
clipping. The two take turns, in processes of their own, and the best round of each counts; the
other figures show how far rounds lie apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
    "intermediate_size": 688, "vocab_size": 8000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
WARM = 3
RATE = 1e-4


def main() -> None:
    """Print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch_python", help="a Python that has torch and transformers")
    parser.add_argument("--worker", choices=("ours", "torch"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    if asked.worker:
        work = ours if asked.worker == "ours" else theirs
        sys.stdout.write(json.dumps(work(asked.batch, asked.tokens, asked.steps)) + "\n")
        return
    pythons = {"ours": sys.executable, "torch": asked.torch_python}
    found: dict[str, list[float]] = {"ours": [], "torch": []}
    for _ in range(asked.rounds):
        for name, python in pythons.items():
            found[name] += _run(python, name, asked)
    for name, seconds in found.items():
        best, middle = min(seconds), statistics.median(seconds)
        speed = asked.batch * asked.tokens / middle
        sys.stdout.write(
            f"{name}: median {1000 * middle:.0f} ms, best {1000 * best:.0f} ms, "
            f"{speed:,.0f} tokens/s at the median\n"
        )
    medians = [statistics.median(found[name]) for name in ("ours", "torch")]
    bests = [min(found[name]) for name in ("ours", "torch")]
    sys.stdout.write(
        f"ours / torch: {medians[0] / medians[1]:.2f} (medians), "
        f"{bests[0] / bests[1]:.2f} (bests)\n"
    )


def _run(python: str, worker: str, asked: argparse.Namespace) -> list[float]:
    command = [python, str(Path(__file__)), "--worker", worker]
    for name in ("batch", "tokens", "steps"):
        command += [f"--{name}", str(getattr(asked, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def ours(batch: int, tokens: int, steps: int) -> list[float]:
    """Seconds of each step of llm-train's own computation and optimizer."""
    import tempfile

    from llm_train.quiet import import_paddlenlp

    import_paddlenlp()
    import numpy as np
    import paddle

    from llm_train.loop.compute import make_computation
    from llm_train.loop.optimizers import make_optimizer
    from llm_train.model import build_model

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
        model = build_model(place, continue_training=False)
    model.train()
    settings = {"learning_rate": RATE, "weight_decay": 0.01}
    optimizer = make_optimizer(model, paddle.optimizer.AdamW, settings, 1.0, None)
    computation = make_computation(model, None)
    rows = np.random.default_rng(1).integers(0, CONFIG["vocab_size"], (batch, tokens + 1))
    data = {"input_ids": rows[:, :-1], "labels": rows[:, 1:]}
    taken = []
    for _ in range(WARM + steps):
        began = time.perf_counter()
        computation.train([data], batch * tokens, lambda: None)
        optimizer.step()
        optimizer.clear_grad()
        taken.append(time.perf_counter() - began)
    return taken[WARM:]


def theirs(batch: int, tokens: int, steps: int) -> list[float]:
    """Seconds of each step of transformers' Llama under torch's AdamW."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    config: Any = LlamaConfig(**CONFIG)
    model = LlamaForCausalLM(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    rows = torch.randint(0, CONFIG["vocab_size"], (batch, tokens + 1))
    taken = []
    for _ in range(WARM + steps):
        began = time.perf_counter()
        logits = model(input_ids=rows[:, :-1]).logits
        flat, labels = logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1)
        torch.nn.functional.cross_entropy(flat, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        taken.append(time.perf_counter() - began)
    return taken[WARM:]


if __name__ == "__main__":
    main()
