"""Seconds of a training step: this toolchain against Hugging Face transformers on torch.

    python packages/llm-train/benchmarks/bench_step.py --torch_python VENV/bin/python

One Llama of 10.4 million parameters, float32, two threads, batches of 8 x 256 tokens, AdamW and
clipping. Both start, take a round of steps that does not count, and then take turns. Medians and
bests are given: they lie apart where the machine does other work.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256,
    "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
    "intermediate_size": 688, "vocab_size": 8000, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "tie_word_embeddings": False, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
RATE = 1e-4


def main() -> None:
    """Print both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch_python", help="a Python that has torch and transformers")
    parser.add_argument("--worker", choices=("ours", "torch"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--hold", help="a command that is `cat` under the machine's lock")
    asked = parser.parse_args()
    if asked.worker:
        serve(ours if asked.worker == "ours" else theirs, asked)
        return
    workers = {"ours": _start(sys.executable, "ours", asked)}
    workers["torch"] = _start(asked.torch_python, "torch", asked)
    for worker in workers.values():
        _ask(worker)
    held = _held(shlex.split(asked.hold or "cat"))
    found: dict[str, list[float]] = {"ours": [], "torch": []}
    for _ in range(asked.rounds):
        for name, worker in workers.items():
            found[name] += _ask(worker)
    for process in (*workers.values(), held):
        process.communicate()
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


def _start(python: str, worker: str, asked: argparse.Namespace) -> subprocess.Popen[str]:
    command = [python, str(Path(__file__)), "--worker", worker]
    for name in ("batch", "tokens", "steps"):
        command += [f"--{name}", str(getattr(asked, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def _held(command: list[str]) -> subprocess.Popen[str]:
    """Return when the command, a `cat`, has begun: then the machine is ours."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    process.stdout.readline()
    return process


def _ask(worker: subprocess.Popen[str]) -> list[float]:
    """Seconds of each of the worker's next steps."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
    while True:
        line = worker.stdout.readline()
        if line.startswith("["):
            seconds: list[float] = json.loads(line)
            return seconds
        if not line:
            message = "a worker ended"
            raise RuntimeError(message)


def serve(work: Callable[[int, int], Callable[[], None]], asked: argparse.Namespace) -> None:
    """Take steps whenever a line comes, and answer with the seconds of each."""
    step = work(asked.batch, asked.tokens)
    for _ in sys.stdin:
        taken = []
        for _ in range(asked.steps):
            began = time.perf_counter()
            step()
            taken.append(time.perf_counter() - began)
        sys.stdout.write(json.dumps(taken) + "\n")
        sys.stdout.flush()


def ours(batch: int, tokens: int) -> Callable[[], None]:
    """A step of llm-train's own computation and optimizer."""
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

    def step() -> None:
        computation.train([data], batch * tokens, lambda: None)
        optimizer.step()
        optimizer.clear_grad()

    return step


def theirs(batch: int, tokens: int) -> Callable[[], None]:
    """A step of transformers' Llama under torch's AdamW."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.manual_seed(1)
    config: Any = LlamaConfig(**CONFIG)
    model = LlamaForCausalLM(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    rows = torch.randint(0, CONFIG["vocab_size"], (batch, tokens + 1))

    def step() -> None:
        logits = model(input_ids=rows[:, :-1]).logits
        flat, labels = logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1)
        torch.nn.functional.cross_entropy(flat, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
