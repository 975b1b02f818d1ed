"""Perplexity of each way to run a model, beside the reference decoder with the same weights.

    python packages/llm-infer/benchmarks/bench_perplexity.py MODEL TEXT

The reference runs the dequantized weights with float32 inputs, keys and values; what differs is the
rounding of inputs, cache and products on the way.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm_cli.console import table
from llm_convert.model import Model, open_model
from llm_data.tokenizer import load_tokenizer
from llm_infer.load import CacheSettings, Precision, load_engine
from llm_infer.quantize import to_int8_head
from llm_infer.weights import chosen_weights
from llm_kernels.decoder import StepBatch
from llm_kernels.families import ParameterKey
from llm_kernels.reference_decoder import forward

Way = tuple[Precision, CacheSettings]
LENGTH = 256
CACHE = CacheSettings(num_blocks=LENGTH // 64)
WAYS: dict[str, Way] = {
    "float32": (Precision(), CACHE),
    "bfloat16": (Precision(dtype="bfloat16", act_quant_type="int8_block"), CACHE),
    "int8, float inputs": (Precision(quant_type="weight_only_int8", quantize_head=True), CACHE),
    "int8": (
        Precision(quant_type="weight_only_int8", act_quant_type="int8_block", quantize_head=True),
        CACHE,
    ),
    "int8, int8_token": (
        Precision(quant_type="weight_only_int8", act_quant_type="int8_token", quantize_head=True),
        CACHE,
    ),
    "int4": (
        Precision(quant_type="weight_only_int4", act_quant_type="int8_block", quantize_head=True),
        CACHE,
    ),
    "a8w8": (Precision(quant_type="a8w8", quantize_head=True), CACHE),
    "a8w8_fp8": (Precision(quant_type="a8w8_fp8", quantize_head=True), CACHE),
    "cache in bfloat16": (Precision(), replace(CACHE, cachekv_dtype="bfloat16")),
    "cache in int8, dynamic": (Precision(), replace(CACHE, cachekv_int8_type="dynamic")),
    "int8, cache in int8": (
        Precision(quant_type="weight_only_int8", act_quant_type="int8_block", quantize_head=True),
        replace(CACHE, cachekv_int8_type="dynamic"),
    ),
}


def losses(logits: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Nats of each token but the first; logits [L, V], ids [L]."""
    exact = logits[:-1].astype(np.float64)
    most = exact.max(-1)
    total = most + np.log(np.exp(exact - most[:, None]).sum(-1))
    return total - exact[np.arange(len(ids) - 1), ids[1:]]


def by_engine(folder: str, windows: npt.NDArray[np.int64], way: Way) -> float:
    """Perplexity through the native decoder, each window as one prompt."""
    precision, cache = way
    engine = load_engine(folder, precision=precision, cache=cache)
    every = np.arange(LENGTH, dtype=np.int32)
    ends = np.array([0, LENGTH], np.int32)
    blocks = np.arange(LENGTH // 64, dtype=np.int32)[None]
    found = []
    for ids in windows:
        batch = StepBatch(
            token_ids=ids.astype(np.int32),
            positions=every,
            query_start=ends,
            context_length=ends[1:],
            block_tables=blocks,
            logits_rows=every,
        )
        found.append(losses(engine.runner.step(batch), ids))
    engine.close()
    return float(np.exp(np.mean(found)))


def by_reference(model: Model, windows: npt.NDArray[np.int64], way: Way) -> float:
    """Perplexity of the reference decoder with the dequantized weights of the way."""
    precision, _ = way
    get = chosen_weights(model, replace(precision, act_quant_type=None))

    def dense(key: ParameterKey) -> npt.NDArray[np.float32]:
        value = get(key)
        if precision.quant_type and key.slot == "head":
            value = to_int8_head(np.asarray(value)).weight
        if not isinstance(value, np.ndarray):
            value = getattr(value, "weight", value).dequantize()
        return np.asarray(value, np.float32)

    weights = {key: dense(key) for key in model.parameters}
    found = [losses(forward(model.spec, model.sizes, weights, ids), ids) for ids in windows]
    return float(np.exp(np.mean(found)))


def main() -> None:
    """One row a way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("text", type=Path)
    parser.add_argument("--windows", type=int, default=16, help=f"of {LENGTH} tokens")
    chosen = parser.parse_args()
    ids = load_tokenizer(chosen.model).encode(chosen.text.read_text(encoding="utf-8"))
    whole = min(len(ids) // LENGTH, chosen.windows)
    windows = np.array(ids[: whole * LENGTH], np.int64).reshape(whole, LENGTH)
    model = open_model(chosen.model)
    rows = []
    for name, way in WAYS.items():
        reference = by_reference(model, windows, way)
        engine = by_engine(chosen.model, windows, way)
        change = f"{100 * (engine / reference - 1):+.3f} %"
        rows.append((name, f"{reference:.4f}", f"{engine:.4f}", change))
    title = f"{chosen.model}: {whole} windows of {LENGTH} tokens"
    table(title, ("way", "reference", "engine", "difference"), rows)


if __name__ == "__main__":
    main()
