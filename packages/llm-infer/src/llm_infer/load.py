"""From a model folder to an engine that is ready to answer.

    engine = load_engine("path/to/model", tokenizer=load_tokenizer("path/to/model"))
    for event in engine.submit(prompt_ids, SamplingParams(max_new_tokens=32)): ...

The weights are read through llm_convert (any layout, dense or quantized) and packed once; the KV
cache takes what the sequences need, within the memory that is free, and the log says what it took.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from llm_cli.progress import scaled
from llm_convert.hub import resolve_model
from llm_convert.lora import LoraAdapter, check_base, merged, read_lora
from llm_convert.model import Model, open_model
from llm_infer.bundle.reading import BundledModel
from llm_infer.cache_scales import read_cache_scales
from llm_infer.endings import ending_tokens
from llm_infer.engine import Engine, EngineLimits, StepRunner
from llm_infer.engine.rope import rope_choice
from llm_infer.errors import UnsupportedError
from llm_infer.footprint import Footprint, first_rows, native_footprint, paddle_footprint
from llm_infer.memory import CachePlan
from llm_infer.options.refusals import QUANT_TYPES
from llm_infer.prefix import prefix_layout
from llm_infer.quantize import (
    GetWeight,
    Weight,
    narrowed,
    rounded,
    to_bfloat16_inputs,
    to_int8_head,
    with_bfloat16_inputs,
    with_inputs,
)
from llm_infer.runners import Sizing, native_runner, paddle_runner, static_graph_runner
from llm_infer.sources import Source, open_source
from llm_infer.tuned_prefix import read_prefix
from llm_kernels.cache_layout import CacheScales
from llm_kernels.reference import CacheDtype

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

__all__ = ["ending_tokens", "load_engine", "open_model", "open_source", "resolve_model"]

logger = logging.getLogger(__name__)

MakeHead = Callable[[np.ndarray], Weight]
"""From the head's floats [V, E] to what is kept of them."""
DEFAULT_LENGTH = 2048
"""Tokens a sequence for which the cache is sized where the model states no context."""
UNBOUNDED = 2**31
"""Positions of a model whose configuration names no limit."""


def load_engine(
    path: str | Path | Source,
    *,
    tokenizer: Tokenizer | None = None,
    native: bool = True,
    mode: str = "dynamic",
    model_prefix: str = "model",
    dtype: str = "float32",
    quant_type: str | None = None,
    act_quant_type: str | None = None,
    quantize_head: bool = False,
    cachekv_dtype: CacheDtype | None = None,
    cachekv_int8_type: str | None = None,
    lora_path: str | Path | None = None,
    lora_paths: Mapping[str, str | Path] = MappingProxyType({}),
    prefix_paths: Mapping[str, str | Path] = MappingProxyType({}),
    block_size: int = 64,
    num_blocks: int | None = None,
    max_sequences: int = 32,
    max_batch_tokens: int = 2048,
    max_length: int | None = None,
    threads: int | None = None,
    prefix_cache: bool = True,
    speculate_ngram: int = 0,
) -> Engine:
    """An engine for the model in the folder `path`, or for one that is open already.

    `tokenizer` gives events their text. `native` false computes with the Paddle decoder. The `mode`
    "static" runs what `llm infer export` wrote: a bundle, or the Paddle graph `model_prefix`.
    `dtype` bfloat16 rounds what is not quantized to half the bytes. `quant_type`:
    weight_only_int8, weight_only_int4, a8w8 or a8w8_fp8 (see `llm_infer.quantize`);
    `act_quant_type`: int8_block or int8_token, how inputs of int8 and int4 weights are rounded;
    with it, `dtype` bfloat16 rounds the inputs of its linears to bfloat16;
    `quantize_head`: keep the head in int8 where the linears are quantized.
    `cachekv_dtype`: float32, bfloat16 or, where `cachekv_int8_type` is dynamic or static, int8;
    None: bfloat16 where the inputs of linears are rounded, else float32.
    `lora_path`: an adapter, merged while the weights are read; `lora_paths`: adapters that stay
    beside the weights, by the names that requests use for them. `max_length`: tokens a sequence for
    which the cache is sized; longer ones are taken as long as they fit. `prefix_paths`: tuned
    prefixes by the names that requests use for them. `prefix_cache`: read common beginnings of
    prompts once. `speculate_ngram`: see `Engine`. Raises UnsupportedError or InferError, and what
    llm_convert and llm_kernels raise.
    """
    start = time.perf_counter()
    model = _opened(path, mode, native=native)
    endings = ending_tokens(model, tokenizer)
    layout = prefix_layout(model, tokenizer)
    how = (dtype, quant_type, act_quant_type)
    weight, head, found = _weights(model, *how, lora_path, quantize_head, native)
    tuned = {name: read_prefix(where, model.sizes) for name, where in prefix_paths.items()}
    sizing = Sizing(
        block_size=block_size,
        num_blocks=num_blocks,
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_length=_sized_length(model, max_length),
        weight_bytes=found.bytes,
        reserved_blocks=sum(prefix.blocks(block_size) for prefix in tuned.values()),
        cache_dtype=_cache_dtype(found, cachekv_dtype, cachekv_int8_type),
        cache_scales=_cache_scales(model, cachekv_int8_type),
    )
    adapters = _adapters(model, lora_paths, mode)
    where = (threads, native, mode, model_prefix)
    runner, plan = _built(model, weight, sizing, *where, adapters, head)
    _tell(model, sizing, plan, start)
    engine = Engine(
        runner,
        _limits(model, sizing, plan),
        eos_token_ids=endings,
        decode=tokenizer.decode if tokenizer else None,
        layout=layout,
        prefix_cache=prefix_cache,
        speculate_ngram=speculate_ngram,
        adapters=list(lora_paths),
        rope=rope_choice(model.spec, model.sizes) if native else None,
    )
    for name, prefix in tuned.items():
        engine.add_prefix(name, prefix)
    return engine


def _opened(path: str | Path | Source, mode: str, *, native: bool) -> Source:
    if not native:
        need_paddle("--inference_model false")
    return open_source(path, mode, native) if isinstance(path, str | Path) else path


def _sized_length(model: Source, asked: int | None) -> int:
    positions = model.sizes.max_positions
    return min(asked or positions or DEFAULT_LENGTH, positions or UNBOUNDED)


def _weights(
    model: Source,
    dtype: str,
    quant_type: str | None,
    act_quant_type: str | None,
    lora_path: str | Path | None,
    quantize_head: bool,
    native: bool,
) -> tuple[GetWeight, MakeHead | None, Footprint]:
    """The parameters as they are kept, what the head's floats become, and what all of it takes."""
    rounds = dtype == "bfloat16" and bool(act_quant_type)
    head = head_type(model, quant_type, rounds=rounds) if quantize_head else None
    read = read_weights(model, quant_type, lora_path)
    keep = partial(kept_as, model, dtype, quant_type, act_quant_type)
    if not native:
        return keep(read), head, paddle_footprint(model)
    return keep(read), head, native_footprint(model, keep(first_rows(read)), head)


def _cache_dtype(found: Footprint, asked: CacheDtype | None, int8_type: str | None) -> CacheDtype:
    """What was asked for; else bfloat16 where inputs of any linear are rounded, as float32 would be
    twice the memory for digits that are none.
    """
    if int8_type or asked:
        return "int8" if int8_type else asked or "float32"
    return "bfloat16" if found.rounds_inputs else "float32"


def _cache_scales(model: Source, cachekv_int8_type: str | None) -> CacheScales | None:
    return read_cache_scales(model.path, model.sizes) if cachekv_int8_type == "static" else None


def _tell(model: Source, sizing: Sizing, plan: CachePlan, start: float) -> None:
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
    threads: int | None,
    native: bool,
    mode: str,
    model_prefix: str,
    adapters: Sequence[LoraAdapter],
    head: MakeHead | None,
) -> tuple[StepRunner, CachePlan]:
    """The decoder that computes: one for each pair of `--inference_model` and `--mode`."""
    if mode == "static" and not native:
        return static_graph_runner(model, model_prefix, sizing, threads)
    if not native:
        return paddle_runner(model, weight, sizing, threads, adapters)
    return native_runner(model, weight, sizing, threads, adapters, head=head)


def head_type(model: Source, quant_type: str | None, *, rounds: bool) -> MakeHead | None:
    """What the head's floats are kept as: int8 beside quantized linears, else as they are.

    `rounds`: over inputs in bfloat16, unless the embedding's rows are read from it.
    """
    if quant_type or model.quantization is not None:
        return to_int8_head
    return to_bfloat16_inputs if rounds and not model.sizes.tied else None


def _adapters(model: Source, paths: Mapping[str, str | Path], mode: str) -> list[LoraAdapter]:
    """Adapters that stay beside the weights. Raises UnsupportedError where none can."""
    if paths and (mode == "static" or not isinstance(model, Model)):
        message = (
            f"Adapters beside the weights ({', '.join(paths)}) need the model's own files: use "
            "--mode dynamic."
        )
        raise UnsupportedError(message)
    return [_read_adapter(model, path) for path in paths.values() if isinstance(model, Model)]


def _read_adapter(model: Model, path: str | Path) -> LoraAdapter:
    adapter = read_lora(path, model)
    if not check_base(path, model):
        logger.info("%s does not say which weights its base had; shapes fit.", path)
    return adapter


def chosen_weights(
    model: Source,
    dtype: str,
    quant_type: str | None,
    act_quant_type: str | None,
    lora_path: str | Path | None,
) -> GetWeight:
    """Canonical parameters, with an adapter and rounded as was asked for. Raises InferError."""
    read = read_weights(model, quant_type, lora_path)
    return kept_as(model, dtype, quant_type, act_quant_type, read)


def read_weights(model: Source, quant_type: str | None, lora_path: str | Path | None) -> GetWeight:
    """Canonical parameters, with an adapter merged. Raises InferError where that or `quant_type`
    cannot be.
    """
    if isinstance(model, BundledModel):
        _refuse_changes(model, quant_type, lora_path)
    elif lora_path is not None and isinstance(model, Model):
        return with_adapter(model, lora_path)
    elif quant_type:
        _refuse_quantized(model, quant_type)
    return model.weight


def kept_as(
    model: Source,
    dtype: str,
    quant_type: str | None,
    act_quant_type: str | None,
    weight: GetWeight,
) -> GetWeight:
    """`weight`, rounded as was asked for; a bundle is kept as it is."""
    if isinstance(model, BundledModel):
        return weight
    weight = _quantized(weight, quant_type)
    weight = narrowed(weight) if dtype == "bfloat16" else weight
    if act_quant_type is None:
        return weight
    weight = with_bfloat16_inputs(weight) if dtype == "bfloat16" else weight
    return with_inputs(weight, act_quant_type)


def _refuse_changes(
    model: BundledModel, quant_type: str | None, lora_path: str | Path | None
) -> None:
    for name, value in (("quant_type", quant_type), ("lora_path", lora_path)):
        if value:
            message = (
                f"--{name} cannot change a packed bundle ({model.path}). Give it to `llm infer "
                "export`, or run the model's own files with --mode dynamic."
            )
            raise UnsupportedError(message)


def _quantized(weight: GetWeight, quant_type: str | None) -> GetWeight:
    if quant_type is None:
        return weight
    if quant_type not in QUANT_TYPES:
        message = f"quant_type is {quant_type!r}; possible: {', '.join(QUANT_TYPES)}."
        raise UnsupportedError(message)
    return rounded(weight, quant_type)


def _refuse_quantized(model: Source, quant_type: str) -> None:
    if model.quantization is None:
        return
    bits = sorted({scheme.num_bits for scheme in model.quantization.schemes.values()})
    kinds = " and ".join(f"int{number}" for number in bits)
    message = (
        f"--quant_type {quant_type} cannot be applied: {model.path} is quantized to {kinds} "
        "already, and runs as it is. Leave the option out."
    )
    raise UnsupportedError(message)


def with_adapter(model: Model, lora_path: str | Path) -> GetWeight:
    """Canonical parameters of `model` with an adapter merged. Raises AdapterError."""
    return merged(model, _read_adapter(model, lora_path))


def need_paddle(what: str) -> None:
    """Raise UnsupportedError where Paddle is not installed, which `what` runs on."""
    if importlib.util.find_spec("paddle") is None:
        message = (
            f"{what} runs on Paddle, which is not installed. Install it with "
            '`tools/install "llm-infer[paddle]"`, or leave the option out.'
        )
        raise UnsupportedError(message)
