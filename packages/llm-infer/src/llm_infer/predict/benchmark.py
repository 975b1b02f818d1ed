"""Figures of a model on this machine: prompts of src_length random tokens, answers to max_length.

One sequence alone gives the time to the first token; then batch_size sequences are read together
(prefill) and continued together (decode). A short run before that warms up. Written as JSON.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from llm_cli.console import table
from llm_cli.outputs import written_file
from llm_infer.engine import Engine, SamplingParams
from llm_infer.errors import InferError
from llm_infer.predict.options import PredictOptions
from llm_infer.predict.session import bounded_length, open_engine
from llm_infer.predict.terminal import raise_failures

logger = logging.getLogger(__name__)

RUNNER_FIGURES = ("threads", "isa", "weight_bytes", "cache_bytes")
"""What a decoder says of itself; the Paddle decoder has no instruction set."""


def benchmark(options: PredictOptions) -> None:
    """Measure the model and write the figures to --output_file."""
    start = time.perf_counter()
    engine = open_engine(options, options.batch_size, options.max_length)
    load_seconds = time.perf_counter() - start
    try:
        figures = {**measure(engine, options), "load_s": round(load_seconds, 4)}
    finally:
        engine.close()
    with written_file(Path(options.output_file)) as stream:
        stream.write(json.dumps(figures, indent=2).encode() + b"\n")
    table("Benchmark", ("figure", "value"), list(figures.items()))
    logger.info("written to %s", options.output_file)


def measure(engine: Engine, options: PredictOptions) -> dict[str, Any]:
    """The figures of an engine. Raises InferError with the numbers when the sizes do not fit."""
    length = bounded_length(options, engine)
    _check(engine, options, length)
    random = np.random.default_rng(options.seed or 0)
    shape = (options.batch_size, options.src_length)
    batch = random.integers(0, engine.limits.vocab_size, shape).tolist()
    _timed(engine, [batch[0][:64]], 2)
    first_token, _ = _timed(engine, batch[:1], 1)
    before = engine.stats()
    new_tokens = length - options.src_length
    prefill, decode = _timed(engine, batch, new_tokens)
    after = engine.stats()
    step = after.step_seconds - before.step_seconds
    decoder = after.decoder_seconds - before.decoder_seconds
    return {
        "model": options.model_name_or_path,
        "quant_type": options.quant_type or "",
        "batch_size": options.batch_size,
        "src_length": options.src_length,
        "new_tokens": new_tokens,
        "ttft_s": round(first_token, 5),
        "prefill_tokens_per_s": round(options.batch_size * options.src_length / prefill, 2),
        "decode_tokens_per_s": round(options.batch_size * (new_tokens - 1) / decode, 2),
        "python_share": round(1 - decoder / step, 4),
        "rss_mb": round(_resident_bytes() / 1e6, 1),
        **{name: getattr(engine.runner, name, None) for name in RUNNER_FIGURES},
    }


def _check(engine: Engine, options: PredictOptions, length: int) -> None:
    if options.src_length > length - 2:
        message = (
            f"--src_length {options.src_length} leaves no room for two new tokens in {length} "
            "(--max_length, or what the model takes). Lower --src_length."
        )
        raise InferError(message)
    held = engine.limits.num_blocks // -(-length // engine.limits.block_size)
    if held < options.batch_size:
        message = (
            f"The KV cache holds {held} sequences of {length} tokens, but --batch_size is "
            f"{options.batch_size}. Lower it or --max_length, or raise --num_blocks."
        )
        raise InferError(message)


def _timed(engine: Engine, prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
    """Seconds until every prompt has its first token, and from there to the end."""
    params = SamplingParams(max_new_tokens=new_tokens, ignore_eos=True)
    start = time.perf_counter()
    waiting = {engine.add_request(prompt, params) for prompt in prompts}
    first = start
    while engine.has_work:
        events = engine.step()
        raise_failures(events)
        seen = {event.request_id for event in events}
        if waiting and not (waiting := waiting - seen):
            first = time.perf_counter()
    return first - start, time.perf_counter() - first


def _resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
