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
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from llm_cli.progress import scaled
from llm_convert.hub import resolve_model
from llm_convert.lora import check_base, merged, read_lora
from llm_convert.model import Model, open_model
from llm_infer.endings import ending_tokens
from llm_infer.engine import Engine, EngineLimits
from llm_infer.errors import UnsupportedError
from llm_infer.prefix import prefix_layout
from llm_infer.quantize import ROUNDING, GetWeight, rounded
from llm_infer.runners import Sizing, native_runner, paddle_runner
from llm_infer.tuned_prefix import read_prefix

if TYPE_CHECKING:
    from llm_data.tokenizer import Tokenizer

__all__ = ["ending_tokens", "load_engine", "open_model", "resolve_model"]

logger = logging.getLogger(__name__)

DEFAULT_LENGTH = 2048
"""Tokens a sequence for which the cache is sized where the model states no context."""
UNBOUNDED = 2**31
"""Positions of a model whose configuration names no limit."""


def load_engine(
    path: str | Path | Model,
    *,
    tokenizer: Tokenizer | None = None,
    native: bool = True,
    quant_type: str | None = None,
    lora_path: str | Path | None = None,
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
    """An engine for the model in the folder `path`, or for one that `open_model` has opened.

    `tokenizer` gives events their text. `native` false computes with the Paddle decoder.
    `quant_type`: None, weight_only_int8 or weight_only_int4 (see `llm_infer.quantize`).
    `lora_path`: an adapter, merged while the weights are read. `max_length`: tokens a sequence for
    which the cache is sized; longer ones are taken as long as they fit. `prefix_paths`: tuned
    prefixes by the names that requests use for them. `prefix_cache`: read common beginnings of
    prompts once. `speculate_ngram`: see `Engine`. Raises UnsupportedError or InferError, and what
    llm_convert and llm_kernels raise.
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
    tuned = {name: read_prefix(where, model.sizes) for name, where in prefix_paths.items()}
    sizing = Sizing(
        block_size=block_size,
        num_blocks=num_blocks,
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_length=min(max_length or model.sizes.max_positions or DEFAULT_LENGTH, positions),
        reserved_blocks=sum(prefix.blocks(block_size) for prefix in tuned.values()),
    )
    build = native_runner if native else paddle_runner
    runner, plan = build(model, weight, sizing, threads)
    limits = EngineLimits(
        num_blocks=plan.num_blocks,
        reserved_blocks=sizing.reserved_blocks,
        block_size=block_size,
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_positions=positions,
        vocab_size=model.sizes.vocab,
    )
    took = scaled(plan.bytes, "B")
    logger.info("KV cache: %d x %d tokens, %s (%s)", plan.num_blocks, block_size, took, plan.reason)
    logger.info("%s is ready after %.2f s", model.path, time.perf_counter() - start)
    engine = Engine(
        runner,
        limits,
        eos_token_ids=endings,
        decode=tokenizer.decode if tokenizer else None,
        layout=layout,
        prefix_cache=prefix_cache,
        speculate_ngram=speculate_ngram,
    )
    for name, prefix in tuned.items():
        engine.add_prefix(name, prefix)
    return engine


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
