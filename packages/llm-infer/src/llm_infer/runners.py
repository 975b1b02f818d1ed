"""Decoders for the engine: the weights packed, the cache sized to the memory that is free."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llm_cli.progress import scaled
from llm_convert.lora import LoraAdapter
from llm_infer.bundle.reading import BundledModel
from llm_infer.engine import StepRunner
from llm_infer.errors import InferError
from llm_infer.memory import CachePlan, asked_cache, available_bytes, plan_cache
from llm_infer.native_adapters import AdaptedDecoder
from llm_infer.quantize import GetWeight, Weight
from llm_infer.sources import Source
from llm_infer.static_graph.folder import read_graph
from llm_kernels.cache_layout import CacheScales
from llm_kernels.decoder import NativeDecoder
from llm_kernels.families import ParameterKey
from llm_kernels.reference import CacheDtype

logger = logging.getLogger(__name__)

BLOCK_MULTIPLE = 16
"""What the native decoder's blocks are multiples of."""


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What decides how large the cache is."""

    block_size: int
    num_blocks: int | None
    max_sequences: int
    max_batch_tokens: int
    max_length: int
    weight_bytes: int
    """What the weights will take of the memory that is free."""
    reserved_blocks: int = 0
    """Blocks beyond those of sequences, for tuned prefixes."""
    cache_dtype: CacheDtype = "float32"
    cache_scales: CacheScales | None = None
    """Of an int8 cache: what calibration found; None: a scale of every token and head."""


def native_runner(
    model: Source,
    weight: GetWeight,
    sizing: Sizing,
    threads: int | None,
    adapters: Sequence[LoraAdapter] = (),
    *,
    head: Callable[[np.ndarray], Weight] | None = None,
) -> tuple[StepRunner, CachePlan]:
    """The native decoder and the cache that was chosen for it. Raises InferError.

    `head` makes what the head's floats are kept as; a bundle has its own.
    """
    if sizing.block_size < 1 or sizing.block_size % BLOCK_MULTIPLE:
        message = (
            f"block_size is {sizing.block_size}; the native engine takes multiples of "
            f"{BLOCK_MULTIPLE}, such as 64."
        )
        raise InferError(message)
    block = NativeDecoder.cache_bytes_per_block(
        model.spec, model.sizes, sizing.block_size, sizing.cache_dtype, sizing.cache_scales
    )
    bundle = model if isinstance(model, BundledModel) else None
    plan = _plan(block, sizing)
    if bundle:
        head = bundle.head if model.sizes.tied else None
    decoder = NativeDecoder(
        model.spec,
        model.sizes,
        weight,
        num_blocks=plan.num_blocks + sizing.reserved_blocks,
        block_size=sizing.block_size,
        max_batch_tokens=sizing.max_batch_tokens,
        cache_dtype=sizing.cache_dtype,
        cache_scales=sizing.cache_scales,
        head=head,
        threads=threads,
        isa=bundle.isa if bundle else None,
    )
    logger.info(
        "%s: %d threads, %s, %s of packed weights",
        model.path,
        decoder.threads,
        decoder.isa,
        scaled(decoder.weight_bytes, "B"),
    )
    return (AdaptedDecoder(decoder, adapters) if adapters else decoder), plan


def paddle_runner(
    model: Source,
    weight: GetWeight,
    sizing: Sizing,
    threads: int | None,
    adapters: Sequence[LoraAdapter] = (),
) -> tuple[StepRunner, CachePlan]:
    """The Paddle decoder and the cache that was chosen for it. Raises InferError."""
    from llm_kernels.paddle.environment import prepare

    prepare(threads)
    from llm_infer.paddle_runner import PaddleRunner, cache_bytes_per_block

    def dense(key: ParameterKey) -> np.ndarray:
        value = weight(key)
        return np.asarray(value if isinstance(value, np.ndarray) else value.dequantize())

    block = cache_bytes_per_block(model.sizes, sizing.block_size)
    plan = _plan(block, sizing)
    runner = PaddleRunner(
        model.spec,
        model.sizes,
        dense,
        num_blocks=plan.num_blocks + sizing.reserved_blocks,
        block_size=sizing.block_size,
        adapters=adapters,
    )
    return runner, plan


def static_graph_runner(
    model: Source,
    model_prefix: str,
    sizing: Sizing,
    threads: int | None,
) -> tuple[StepRunner, CachePlan]:
    """The exported graph in the model's folder, and its cache. Raises InferError for none."""
    graph = read_graph(model.path, model_prefix)
    from llm_kernels.paddle.environment import prepare

    count = prepare(threads)
    from llm_infer.static_graph.paddle_inference import StaticGraphRunner

    width = graph.head_dim + graph.value_dim
    block = graph.layers * sizing.block_size * graph.kv_heads * width * 4
    weights = (model.path / f"{model_prefix}.pdiparams").stat().st_size
    plan = _plan(block, replace(sizing, weight_bytes=weights))
    runner = StaticGraphRunner(
        model.path,
        model_prefix,
        graph,
        num_blocks=plan.num_blocks + sizing.reserved_blocks,
        block_size=sizing.block_size,
        threads=count,
    )
    return runner, replace(plan, max_positions=graph.max_positions)


def _plan(bytes_per_block: int, sizing: Sizing) -> CachePlan:
    weights = sizing.weight_bytes + sizing.reserved_blocks * bytes_per_block
    if sizing.num_blocks is not None:
        return asked_cache(sizing.num_blocks, available_bytes(), weights, bytes_per_block)
    return plan_cache(
        free=available_bytes(),
        weight_bytes=weights,
        bytes_per_block=bytes_per_block,
        block_size=sizing.block_size,
        max_length=sizing.max_length,
        max_sequences=sizing.max_sequences,
    )
