"""Tokens a second of a training step of the Paddle decoder; `--plain` leaves Paddle as it comes."""

from __future__ import annotations

import argparse
import os
import sys
import time

from llm_kernels.families import FAMILIES, Sizes
from llm_kernels.paddle.environment import prepare

SIZES = Sizes(
    hidden=256, layers=4, heads=8, kv_heads=2, head_dim=32, mlp=704, vocab=4096, eps=1e-5,
    max_positions=2048,
)  # fmt: skip


def main() -> None:
    """Print the best of `--rounds` steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    if asked.plain:
        os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    else:
        prepare()
    best = min(step_seconds(asked.batch, asked.tokens, asked.rounds))
    sys.stdout.write(f"{asked.batch * asked.tokens / best:,.0f} tokens/s\n")


def step_seconds(batch: int, tokens: int, rounds: int) -> list[float]:
    """Seconds of each step."""
    import paddle

    from llm_kernels.paddle.decoder import Decoder

    paddle.seed(1)
    decoder = Decoder(FAMILIES["llama"], SIZES)
    clip = paddle.nn.ClipGradByGlobalNorm(1.0)
    optimizer = paddle.optimizer.AdamW(1e-4, parameters=decoder.parameters(), grad_clip=clip)
    ids = paddle.randint(0, SIZES.vocab, [batch, tokens + 1])
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        logits = decoder(ids[:, :-1]).reshape([-1, SIZES.vocab])
        paddle.nn.functional.cross_entropy(logits, ids[:, 1:].reshape([-1])).backward()
        optimizer.step()
        optimizer.clear_grad()
        taken.append(time.perf_counter() - began)
    return taken


if __name__ == "__main__":
    main()
