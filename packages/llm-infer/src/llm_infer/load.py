"""From a model folder to an engine that is ready to answer.

    engine = load_engine("path/to/model", tokenizer=load_tokenizer("path/to/model"))
    for event in engine.submit(prompt_ids, SamplingParams(max_new_tokens=32)): ...

The weights are read through llm_convert (any layout, dense or quantized) and packed once; the KV
cache takes what the sequences need, within the memory that is free, and the log says what it took.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_cli.progress import scaled
from llm_convert.hub import resolve_model
from llm_convert.lora import check_base, merged, read_lora
from llm_convert.model import Model, open_model
from llm_infer.engine import Engine, EngineLimits, StepRunner
from llm_infer.errors import InferError, UnsupportedError
from llm_infer.memory import CachePlan, asked_cache, available_bytes, plan_cache
from llm_infer.prefix import prefix_layout
from llm_infer.quantize import ROUNDING, GetWeight, packed_bytes, quantizable, rounded
from llm_kernels.decoder import NativeDecoder
from llm_kernels.families import ParameterKey, parameters

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

__all__ = ["load_engine", "open_model", "resolve_model"]

logger = logging.getLogger(__name__)

DEFAULT_LENGTH = 2048
"""Tokens a sequence for which the cache is sized where the model states no context."""

BLOCK_MULTIPLE = 16
"""What the native decoder's blocks are multiples of."""
UNBOUNDED = 2**31
"""Positions of a model whose configuration names no limit."""


@dataclass(frozen=True, kw_only=True)
class _Sizing:
    """What decides how large the cache is."""

    block_size: int
    num_blocks: int | None
    max_sequences: int
    max_batch_tokens: int
    max_length: int


def load_engine(
    path: str | Path | Model,
    *,
    tokenizer: Tokenizer | None = None,
    native: bool = True,
    quant_type: str | None = None,
    lora_path: str | Path | None = None,
    block_size: int = 64,
    num_blocks: int | None = None,
    max_sequences: int = 32,
    max_batch_tokens: int = 2048,
    max_length: int | None = None,
    threads: int | None = None,
) -> Engine:
    """An engine for the model in the folder `path`, or for one that `open_model` has opened.

    `tokenizer` gives events their text. `native` false computes with the Paddle decoder.
    `quant_type`: None, weight_only_int8 or weight_only_int4 (see `llm_infer.quantize`).
    `lora_path`: an adapter, merged while the weights are read. `max_length`: tokens a sequence for
    which the cache is sized; longer ones are taken as long as they fit. Raises UnsupportedError or
    InferError, and what llm_convert and llm_kernels raise.
    """
    start = time.perf_counter()
    if not native:
        _need_paddle()
    model = path if isinstance(path, Model) else open_model(path)
    if not native and model.spec.mask != "causal":
        message = (
            f"{model.path} is a {model.spec.name}, whose prompt tokens see each other both ways; "
            "only the native engine runs it. Leave --inference_model false out."
        )
        raise UnsupportedError(message)
    endings = ending_tokens(model, tokenizer)
    layout = prefix_layout(model, tokenizer)
    if quant_type and not lora_path:
        _refuse_quantized(model, quant_type)
    source = _with_adapter(model, lora_path) if lora_path else model.weight
    weight = _quantized(source, quant_type)
    positions = model.sizes.max_positions or UNBOUNDED
    sizing = _Sizing(
        block_size=block_size,
        num_blocks=num_blocks,
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_length=min(max_length or model.sizes.max_positions or DEFAULT_LENGTH, positions),
    )
    build = _native if native else _paddle
    runner, plan = build(model, weight, sizing, threads)
    limits = EngineLimits(
        num_blocks=plan.num_blocks,
        block_size=block_size,
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_positions=positions,
        vocab_size=model.sizes.vocab,
    )
    took = scaled(plan.bytes, "B")
    logger.info("KV cache: %d x %d tokens, %s (%s)", plan.num_blocks, block_size, took, plan.reason)
    logger.info("%s is ready after %.2f s", model.path, time.perf_counter() - start)
    return Engine(
        runner,
        limits,
        eos_token_ids=endings,
        decode=tokenizer.decode if tokenizer else None,
        layout=layout,
    )


def ending_tokens(model: Model, tokenizer: Tokenizer | None) -> set[int]:
    """Every id that the model's files or its tokenizer name as the end of an answer.

    Raises InferError for a file or an id that is none.
    """
    file = model.path / "generation_config.json"
    found = _stated(file, _object_in(file)) | _stated(model.path / "config.json", model.config)
    if tokenizer is not None and tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    unknown = {token_id for token_id in found if not 0 <= token_id < model.sizes.vocab}
    if unknown:
        logger.warning(
            "%s names %s as the end of an answer, but the model knows 0 to %d; ignored",
            model.path,
            sorted(unknown),
            model.sizes.vocab - 1,
        )
    return found - unknown


def _object_in(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file, empty where there is no file."""
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"{file} cannot be read: {error}. Copy it again from its origin, or remove it."
        raise InferError(message) from error
    if not isinstance(content, dict):
        message = f"{file} holds no JSON object. Copy it again from its origin, or remove it."
        raise InferError(message)
    return content


def _stated(file: Path, content: Mapping[str, Any]) -> set[int]:
    """The end of sequence ids that a configuration states: none, one or a list."""
    value = content.get("eos_token_id")
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(token_id, int) and not isinstance(token_id, bool) for token_id in ids):
        message = f"{file}: eos_token_id is {value!r}; it must be a whole number or a list of them."
        raise InferError(message)
    return set(ids)


def weight_bytes(model: Model, weight: GetWeight) -> int:
    """Bytes that the packed weights will take; one linear of the layers stands for all of them."""
    sizes = {key: math.prod(shape) for key, shape in parameters(model.spec, model.sizes).items()}
    linears = [key for key in sizes if quantizable(key)]
    share = packed_bytes(weight(linears[0])) / sizes[linears[0]]
    return int(sum(size * (share if quantizable(key) else 4) for key, size in sizes.items()))


def _native(
    model: Model, weight: GetWeight, sizing: _Sizing, threads: int | None
) -> tuple[StepRunner, CachePlan]:
    if sizing.block_size < 1 or sizing.block_size % BLOCK_MULTIPLE:
        message = (
            f"block_size is {sizing.block_size}; the native engine takes multiples of "
            f"{BLOCK_MULTIPLE}, such as 64."
        )
        raise InferError(message)
    block = NativeDecoder.cache_bytes_per_block(model.spec, model.sizes, sizing.block_size)
    plan = _plan(block, sizing, weight_bytes(model, weight))
    decoder = NativeDecoder(
        model.spec,
        model.sizes,
        weight,
        num_blocks=plan.num_blocks,
        block_size=sizing.block_size,
        max_batch_tokens=sizing.max_batch_tokens,
        threads=threads,
    )
    logger.info(
        "%s: %d threads, %s, %s of packed weights",
        model.path,
        decoder.threads,
        decoder.isa,
        scaled(decoder.weight_bytes, "B"),
    )
    return decoder, plan


def _paddle(
    model: Model, weight: GetWeight, sizing: _Sizing, threads: int | None
) -> tuple[StepRunner, CachePlan]:
    from llm_kernels.paddle.environment import prepare

    prepare(threads)
    from llm_infer.paddle_runner import PaddleRunner, cache_bytes_per_block

    def dense(key: ParameterKey) -> np.ndarray:
        value = weight(key)
        return np.asarray(value if isinstance(value, np.ndarray) else value.dequantize())

    block = cache_bytes_per_block(model.sizes, sizing.block_size)
    plan = _plan(block, sizing, weight_bytes(model, dense))
    runner = PaddleRunner(
        model.spec,
        model.sizes,
        dense,
        num_blocks=plan.num_blocks,
        block_size=sizing.block_size,
    )
    return runner, plan


def _plan(bytes_per_block: int, sizing: _Sizing, weights: int) -> CachePlan:
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


def _quantized(weight: GetWeight, quant_type: str | None) -> GetWeight:
    if quant_type is None:
        return weight
    if quant_type not in ROUNDING:
        message = f"quant_type is {quant_type!r}; possible: {', '.join(ROUNDING)}."
        raise UnsupportedError(message)
    return rounded(weight, quant_type)


def _refuse_quantized(model: Model, quant_type: str) -> None:
    if model.quantization is None:
        return
    bits = sorted({scheme.num_bits for scheme in model.quantization.schemes.values()})
    kinds = " and ".join(f"int{number}" for number in bits)
    message = (
        f"--quant_type {quant_type} cannot be applied: {model.path} is quantized to {kinds} "
        "already, and runs as it is. Leave the option out."
    )
    raise UnsupportedError(message)


def _with_adapter(model: Model, lora_path: str | Path) -> GetWeight:
    adapter = read_lora(lora_path, model)
    if not check_base(lora_path, model):
        logger.info("%s does not say which weights its base had; shapes fit.", lora_path)
    return merged(model, adapter)


def _need_paddle() -> None:
    if importlib.util.find_spec("paddle") is None:
        message = (
            "--inference_model false runs on Paddle, which is not installed. Install it with "
            '`tools/install "llm-infer[paddle]"`, or leave the option out.'
        )
        raise UnsupportedError(message)
