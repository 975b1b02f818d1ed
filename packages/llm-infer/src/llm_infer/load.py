"""From a model folder to an engine that is ready to answer.

    engine = load_engine(
        "path/to/model",
        tokenizer=load_tokenizer("path/to/model"),
        precision=Precision(quant_type="weight_only_int4", act_quant_type="int8_block"),
    )
    for event in engine.submit(prompt_ids, SamplingParams(max_new_tokens=32)): ...

The weights are read through llm_convert (any layout, dense or quantized) and packed once; the KV
cache takes what the sequences need, within the memory that is free, and the log says what it took.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llm_cli.progress import scaled
from llm_convert.hub import resolve_model
from llm_convert.lora import LoraAdapter
from llm_convert.model import Model, open_model
from llm_infer.cache_scales import read_cache_scales
from llm_infer.endings import ending_tokens
from llm_infer.engine import Engine, EngineLimits, StepRunner
from llm_infer.engine.prefixes import TunedPrefix
from llm_infer.engine.rope import rope_choice
from llm_infer.errors import UnsupportedError
from llm_infer.footprint import Footprint, first_rows, native_footprint, paddle_footprint
from llm_infer.memory import CachePlan
from llm_infer.prefix import prefix_layout
from llm_infer.quantize import GetWeight
from llm_infer.runners import Sizing, native_runner, paddle_runner, static_graph_runner
from llm_infer.settings import AdapterPaths, Backend, CacheSettings, Precision, Scheduling
from llm_infer.sources import Source, open_source
from llm_infer.tuned_prefix import read_prefix
from llm_infer.weights import (
    ConvertHead,
    head_converter,
    read_adapter,
    read_weights,
    with_precision,
)
from llm_kernels.cache_layout import CacheScales
from llm_kernels.reference import CacheDtype

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

__all__ = [
    "AdapterPaths",
    "Backend",
    "CacheSettings",
    "Precision",
    "Scheduling",
    "ending_tokens",
    "load_engine",
    "open_model",
    "open_source",
    "resolve_model",
]

logger = logging.getLogger(__name__)

DEFAULT_LENGTH = 2048
"""Tokens a sequence for which the cache is sized where the model states no context."""
UNBOUNDED = 2**31
"""Positions of a model whose configuration names no limit."""


def load_engine(
    path: str | Path | Source,
    *,
    tokenizer: Tokenizer | None = None,
    precision: Precision | None = None,
    cache: CacheSettings | None = None,
    adapters: AdapterPaths | None = None,
    scheduling: Scheduling | None = None,
    backend: Backend | None = None,
) -> Engine:
    """An engine for the model in the folder `path`, or for one that is open already.

    `tokenizer` gives events their text. `llm_infer.settings` says what the other arguments choose;
    None: their defaults. Raises UnsupportedError or InferError, and what llm_convert and
    llm_kernels raise.
    """
    start = time.perf_counter()
    precision, cache = precision or Precision(), cache or CacheSettings()
    adapters, scheduling = adapters or AdapterPaths(), scheduling or Scheduling()
    backend = backend or Backend()
    model = _opened(path, backend)
    endings = ending_tokens(model, tokenizer)
    layout = prefix_layout(model, tokenizer)
    weight, head, found = _weights(model, precision, adapters.lora_path, backend)
    tuned = {name: read_prefix(at, model.sizes) for name, at in adapters.prefix_paths.items()}
    sizing = _sizing(model, cache, scheduling, found, tuned.values())
    runtime = _runtime_adapters(model, adapters.lora_paths, backend.mode)
    runner, plan = _built(model, weight, sizing, backend, runtime, head)
    _log_sizes(model, sizing, plan, start)
    engine = Engine(
        runner,
        _limits(model, sizing, plan),
        eos_token_ids=endings,
        decode=tokenizer.decode if tokenizer else None,
        layout=layout,
        prefix_cache=cache.prefix_cache,
        speculate_ngram=scheduling.speculate_ngram,
        adapters=list(adapters.lora_paths),
        rope=rope_choice(model.spec, model.sizes) if backend.inference_model else None,
    )
    for name, prefix in tuned.items():
        engine.add_prefix(name, prefix)
    return engine


def _opened(path: str | Path | Source, backend: Backend) -> Source:
    if not backend.inference_model:
        need_paddle("--inference_model false")
    if isinstance(path, str | Path):
        return open_source(path, backend.mode, backend.inference_model)
    return path


def _weights(
    model: Source, precision: Precision, lora_path: str | Path | None, backend: Backend
) -> tuple[GetWeight, ConvertHead | None, Footprint]:
    """The parameters as they are kept, what the head's floats become, and what all of it takes."""
    head = head_converter(model, precision)
    read = read_weights(model, precision.quant_type, lora_path)
    keep = partial(with_precision, model, precision)
    if not backend.inference_model:
        return keep(read), head, paddle_footprint(model)
    return keep(read), head, native_footprint(model, keep(first_rows(read)), head)


def _sizing(
    model: Source,
    cache: CacheSettings,
    scheduling: Scheduling,
    found: Footprint,
    tuned: Iterable[TunedPrefix],
) -> Sizing:
    """What decides how large the cache is, with the cache's type settled."""
    return Sizing(
        block_size=cache.block_size,
        num_blocks=cache.num_blocks,
        max_sequences=scheduling.max_sequences,
        max_batch_tokens=scheduling.max_batch_tokens,
        max_length=_sized_length(model, scheduling.max_length),
        weight_bytes=found.bytes,
        reserved_blocks=sum(prefix.blocks(cache.block_size) for prefix in tuned),
        cache_dtype=_cache_dtype(found, cache),
        cache_scales=_cache_scales(model, cache.cachekv_int8_type),
    )


def _sized_length(model: Source, asked: int | None) -> int:
    positions = model.sizes.max_positions
    return min(asked or positions or DEFAULT_LENGTH, positions or UNBOUNDED)


def _cache_dtype(found: Footprint, cache: CacheSettings) -> CacheDtype:
    """What was asked for; else bfloat16 where inputs of any linear are rounded, as float32 would be
    twice the memory for digits that are none.
    """
    if cache.cachekv_int8_type:
        return "int8"
    return cache.cachekv_dtype or ("bfloat16" if found.rounds_inputs else "float32")


def _cache_scales(model: Source, cachekv_int8_type: str | None) -> CacheScales | None:
    return read_cache_scales(model.path, model.sizes) if cachekv_int8_type == "static" else None


def _log_sizes(model: Source, sizing: Sizing, plan: CachePlan, start: float) -> None:
    took = scaled(plan.bytes, "B")
    shape = (plan.num_blocks, sizing.block_size)
    logger.info("KV cache: %d x %d tokens, %s (%s)", *shape, took, plan.reason)
    logger.info("%s is ready after %.2f s", model.path, time.perf_counter() - start)


def _limits(model: Source, sizing: Sizing, plan: CachePlan) -> EngineLimits:
    return EngineLimits(
        num_blocks=plan.num_blocks,
        reserved_blocks=sizing.reserved_blocks,
        block_size=sizing.block_size,
        max_sequences=sizing.max_sequences,
        max_batch_tokens=sizing.max_batch_tokens,
        max_positions=plan.max_positions or model.sizes.max_positions or UNBOUNDED,
        vocab_size=model.sizes.vocab,
    )


def _built(
    model: Source,
    weight: GetWeight,
    sizing: Sizing,
    backend: Backend,
    adapters: Sequence[LoraAdapter],
    head: ConvertHead | None,
) -> tuple[StepRunner, CachePlan]:
    """The decoder that computes: one for each pair of `--inference_model` and `--mode`."""
    threads = backend.threads
    if backend.inference_model:
        return native_runner(model, weight, sizing, threads, adapters, head=head)
    if backend.mode == "static":
        return static_graph_runner(model, backend.model_prefix, sizing, threads)
    return paddle_runner(model, weight, sizing, threads, adapters)


def _runtime_adapters(
    model: Source, paths: Mapping[str, str | Path], mode: str
) -> list[LoraAdapter]:
    """Adapters that stay beside the weights. Raises UnsupportedError where none can."""
    if paths and (mode == "static" or not isinstance(model, Model)):
        message = (
            f"Adapters beside the weights ({', '.join(paths)}) need the model's own files: use "
            "--mode dynamic."
        )
        raise UnsupportedError(message)
    return [read_adapter(model, path) for path in paths.values() if isinstance(model, Model)]


def need_paddle(what: str) -> None:
    """Raise UnsupportedError where Paddle is not installed, which `what` runs on."""
    if importlib.util.find_spec("paddle") is None:
        message = (
            f"{what} runs on Paddle, which is not installed. Install it with "
            '`tools/install "llm-infer[paddle]"`, or leave the option out.'
        )
        raise UnsupportedError(message)
