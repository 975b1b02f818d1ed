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
from llm_kernels import memory

logger = logging.getLogger(__name__)

RUNNER_FIGURES = ("threads", "isa", "weight_bytes", "cache_bytes")
"""What a decoder says of itself; the Paddle decoder has no instruction set."""


def benchmark(options: PredictOptions) -> None:
    """Measure the model and write the figures to --output_file."""
    output = Path(options.output_file)
    if output.exists() and not options.overwrite and not _holds_figures(output):
        message = (
            f"--output_file {output} exists and holds something else than figures of an earlier "
            "benchmark. Name another file, or add --overwrite."
        )
        raise InferError(message)
    start = time.perf_counter()
    engine = open_engine(options, options.batch_size, options.max_length)
    load_seconds = time.perf_counter() - start
    try:
        figures = {**measure(engine, options), "load_s": round(load_seconds, 4)}
    finally:
        engine.close()
    with written_file(output) as stream:
        stream.write(json.dumps(figures, indent=2).encode() + b"\n")
    table("Benchmark", ("figure", "value"), list(figures.items()))
    logger.info("written to %s", output)


def _holds_figures(path: Path) -> bool:
    """Whether a file is one that a benchmark wrote."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "ttft_s" in content


def measure(engine: Engine, options: PredictOptions) -> dict[str, Any]:
    """The figures of an engine. Raises InferError with the numbers when the sizes do not fit."""
    length = bounded_length(options, engine)
    _check(engine, options, length)
    random = np.random.default_rng(options.seed or 0)

    def prompts(count: int, size: int) -> list[list[int]]:
        # New ones every time: of what was read before, the cache would know the beginnings.
        return random.integers(0, engine.limits.vocab_size, (count, size)).tolist()

    source, batch = options.src_length, options.batch_size
    _timed(engine, prompts(1, min(source, 64)), 2)
    first_token, _, _ = _timed(engine, prompts(1, source), 1)
    before = engine.stats()
    new_tokens = length - source
    prefill, decode, _ = _timed(engine, prompts(batch, source), new_tokens)
    after = engine.stats()
    step = after.step_seconds - before.step_seconds
    decoder = after.decoder_seconds - before.decoder_seconds
    bytes_per_step = _bytes_per_step(engine, batch, source + new_tokens / 2)
    return {
        "model": options.model_name_or_path,
        "dtype": options.dtype,
        "quant_type": options.quant_type or "",
        "act_quant_type": options.act_quant_type or "",
        "cachekv": options.cachekv_int8_type or getattr(engine.runner, "cache_dtype", "float32"),
        "batch_size": batch,
        "src_length": source,
        "new_tokens": new_tokens,
        "ttft_s": round(first_token, 5),
        "prefill_tokens_per_s": round(batch * source / prefill, 2),
        "decode_tokens_per_s": round(batch * (new_tokens - 1) / decode, 2),
        "decode_step_s": round(decode / (new_tokens - 1), 6),
        "bytes_per_step": bytes_per_step,
        "decode_gb_per_s": round(bytes_per_step * (new_tokens - 1) / decode / 1e9, 3),
        "python_share": round(1 - decoder / step, 4),
        "rss_mb": round(memory.resident() / 1e6, 1),
        **{name: getattr(engine.runner, name, None) for name in RUNNER_FIGURES},
        **(_speculation(engine, random, source, new_tokens) if engine.speculate_ngram else {}),
    }


def _bytes_per_step(engine: Engine, batch: int, context: float) -> int:
    """Weights, and keys and values of `context` tokens of each sequence, that a step reads."""
    blocks = engine.limits.num_blocks + engine.limits.reserved_blocks
    weights = getattr(engine.runner, "weight_bytes", 0)
    per_token = getattr(engine.runner, "cache_bytes", 0) / (blocks * engine.limits.block_size)
    return int(weights + batch * context * per_token)


def _speculation(
    engine: Engine, random: np.random.Generator, source: int, new_tokens: int
) -> dict[str, Any]:
    """What drafts gain on one prompt that repeats a phrase of 16 tokens; the same tokens?"""
    phrase = random.integers(0, engine.limits.vocab_size, 16).tolist()
    prompt = (phrase * (source // 16 + 1))[:source]
    ngram = engine.speculate_ngram
    engine.speculate_ngram = 0
    _, plain, expected = _timed(engine, [prompt], new_tokens)
    engine.speculate_ngram = ngram
    before = engine.stats()
    _, drafted, tokens = _timed(engine, [prompt], new_tokens)
    after = engine.stats()
    return {
        "repetitive_decode_tokens_per_s": round((new_tokens - 1) / plain, 2),
        "speculated_decode_tokens_per_s": round((new_tokens - 1) / drafted, 2),
        "drafted_tokens": after.drafted_tokens - before.drafted_tokens,
        "accepted_tokens": after.accepted_tokens - before.accepted_tokens,
        "same_tokens": tokens == expected,
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


def _timed(
    engine: Engine, prompts: list[list[int]], new_tokens: int
) -> tuple[float, float, list[list[int]]]:
    """Seconds until every prompt has its first token, from there to the end, and the tokens."""
    params = SamplingParams(max_new_tokens=new_tokens, ignore_eos=True)
    start = time.perf_counter()
    answers: dict[int, list[int]] = {engine.add_request(prompt, params): [] for prompt in prompts}
    waiting = set(answers)
    first = start
    while engine.has_work:
        events = engine.step()
        raise_failures(events)
        for event in events:
            if event.token_id is not None:
                answers[event.request_id].append(event.token_id)
        seen = {event.request_id for event in events}
        if waiting and not (waiting := waiting - seen):
            first = time.perf_counter()
    return first - start, time.perf_counter() - first, list(answers.values())
