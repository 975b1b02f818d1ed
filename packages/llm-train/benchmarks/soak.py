"""Train, kill, resume, change the layout, again and again: `python soak.py --minutes 30`.

A run of a small Llama over packed tokens is killed with SIGKILL at random moments, all its
processes at once, and goes on with a random layout of one, two or four processes. When it is
finished, the losses of all its steps are compared with those of a run that nobody disturbed; then
another begins. It ends with 1 where a run could not go on, or a loss differs by more than
TOLERANCE.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "parallel"))

from llm_train.quiet import import_paddlenlp  # noqa: E402

import_paddlenlp()

import numpy as np  # noqa: E402
import paddlenlp.transformers.model_utils  # noqa: E402, F401
from herd import environment, free_ports  # noqa: E402

from llm_cli.outputs import is_complete, verify_complete  # noqa: E402
from llm_data.indexed import IndexedWriter  # noqa: E402
from llm_train.loop.watch import read_metrics  # noqa: E402
from llm_train.pretrain.options import PretrainOptions  # noqa: E402
from llm_train.pretrain.run import pretrain  # noqa: E402

TOLERANCE = 1e-6
BATCH, STEPS = 16, 150
SHORTEST, LONGEST = 1.5, 10.0
"""Seconds after which a run is killed."""
LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one": (1, {}),
    "data 2": (2, {}),
    "tensor 2": (2, {"tensor_parallel_degree": 2}),
    "tensor 2, sequence": (2, {"tensor_parallel_degree": 2, "sequence_parallel": True}),
    "pipeline 2": (2, {"pipeline_parallel_degree": 2}),
    "stage 1": (2, {"sharding": "stage1"}),
    "stage 2": (2, {"sharding": "stage2"}),
    "stage 3": (2, {"sharding": "stage3"}),
    "tensor 2 x pipeline 2": (4, {"tensor_parallel_degree": 2, "pipeline_parallel_degree": 2}),
}
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 256, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip


def options(folder: Path, output: Path, layout: str, seed: int) -> tuple[int, PretrainOptions]:
    """Processes and options of a run with a layout; BATCH samples a step in all of them."""
    processes, degrees = LAYOUTS[layout]
    shared = degrees.get("tensor_parallel_degree", 1) * degrees.get("pipeline_parallel_degree", 1)
    replicas = processes // shared
    return processes, PretrainOptions(
        model_name_or_path=str(folder / "config"),
        input_dir=str(folder / "data"),
        output_dir=str(output),
        split="1,0,0",
        max_seq_length=32,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=BATCH // (4 * replicas),
        learning_rate=2e-3,
        adam_epsilon=1e-6,
        weight_decay=0.1,
        max_steps=STEPS,
        logging_steps=1,
        save_steps=4,
        save_total_limit=3,
        device="cpu",
        seed=seed,
        **degrees,
    )


def start(folder: Path, output: Path, layout: str, seed: int) -> list[int]:
    """The process numbers of a run that goes on in `output`."""
    count, made = options(folder, output, layout, seed)
    ports = free_ports(count + 1)
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            log = os.open(folder / f"log.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if count > 1:
                os.environ.update(environment(rank, ports))
            try:
                pretrain(made)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children


def wait(children: list[int], seconds: float) -> str:
    """`done`, `failed`, or `killed` where the run lasted longer than `seconds`."""
    deadline, left, failed = time.monotonic() + seconds, set(children), False
    while left:
        for child in list(left):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                left.discard(child)
                failed = failed or status != 0
        if left and (failed or time.monotonic() > deadline):
            for child in left:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return "failed" if failed else "killed"
        time.sleep(0.01)
    return "failed" if failed else "done"


def losses(output: Path) -> dict[int, float]:
    """Loss by step."""
    rows = read_metrics(output / "metrics.jsonl")
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def prepare(folder: Path) -> None:
    """The configuration and the tokens."""
    (folder / "config").mkdir()
    (folder / "config" / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    rng = np.random.default_rng(0)
    follow = rng.permutation(256)
    with IndexedWriter(folder / "data" / "text", np.uint16) as writer:
        for _ in range(2000):
            tokens = [int(rng.integers(256))]
            for _ in range(59):
                tokens.append(
                    int(follow[tokens[-1]]) if rng.random() < 0.8 else int(rng.integers(256))
                )
            writer.add_document(np.array(tokens))


def main() -> int:
    """Run for some minutes and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=10**9, help="end after so many kills")
    parser.add_argument("--only", choices=LAYOUTS, help="always this layout")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance, began = random.Random(asked.seed), time.monotonic()
    layouts = [asked.only] if asked.only else list(LAYOUTS)
    end = began + 60 * asked.minutes
    counts = {"runs": 0, "starts": 0, "kills": 0, "layout changes": 0, "resumed at a checkpoint": 0}
    worst = 0.0

    def patient() -> bool:
        return time.monotonic() > end or counts["kills"] >= asked.kills

    while not patient():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            prepare(folder)
            difference = one_run(folder, chance, counts, layouts, patient)
        if difference is None:
            return 1
        worst = max(worst, difference)
    minutes = (time.monotonic() - began) / 60
    text = ", ".join(f"{name} {count}" for name, count in counts.items())
    sys.stdout.write(f"{minutes:.1f} minutes: {text}; largest difference of a loss {worst:.1e}\n")
    return 0 if worst <= TOLERANCE else 1


def one_run(
    folder: Path,
    chance: random.Random,
    counts: dict[str, int],
    layouts: list[str],
    patient: Callable[[], bool],
) -> float | None:
    """A disturbed run beside an undisturbed one: the largest difference; None where it failed."""
    seed = chance.randrange(1000)
    whole, output = folder / "whole", folder / "out"
    if wait(start(folder, whole, "one", seed), 600) != "done":
        return failure(folder)
    before = ""
    while True:
        layout = chance.choice(layouts)
        counts["starts"] += 1
        counts["layout changes"] += before not in ("", layout)
        counts["resumed at a checkpoint"] += any(output.glob("checkpoint-*"))
        seconds = 600.0 if patient() else chance.uniform(SHORTEST, LONGEST)
        outcome = wait(start(folder, output, layout, seed), seconds)
        before = layout
        if outcome == "failed":
            return failure(folder)
        counts["kills"] += outcome == "killed"
        if outcome == "done" or is_complete(output):
            # A kill after the model is whole finds nothing to go on with.
            break
    damaged = verify_complete(output)
    if damaged:
        sys.stdout.write(f"damaged: {damaged}\n")
        return None
    counts["runs"] += 1
    alone, disturbed = losses(whole), losses(output)
    if alone.keys() != disturbed.keys():
        sys.stdout.write("steps are missing or doubled\n")
        return None
    return max(abs(alone[step] - disturbed[step]) for step in alone)


def failure(folder: Path) -> None:
    """Show what the processes said."""
    for log in sorted(folder.glob("log.*")):
        sys.stdout.write(f"{log.name}:\n{log.read_text(errors='replace')[-3000:]}\n")


if __name__ == "__main__":
    sys.exit(main())
