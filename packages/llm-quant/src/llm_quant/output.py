"""Writes a quantized model folder: weights, config, tokenizer, report; and says what happened.

HF layout with a compressed-tensors `quantization_config`, which transformers and vLLM read too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from llm_cli.console import console, table
from llm_cli.outputs import written_file, written_folder
from llm_convert.layout import Layout, Weight
from llm_convert.model import Model, open_model
from llm_convert.quantization import Quantization, Scheme
from llm_convert.saving import copy_companions, save_model
from llm_convert.verify.certificate import certified, said
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.grid import Grid
from llm_quant.errors import QuantError

NAMING: Final = "hf"
REPORT_FILE = "quant_report.json"


@dataclass(frozen=True)
class Outputs:
    """Where a command writes, what it says of itself there, and whether it compares the result.

    `verify` and `max_kl` are those of `llm_convert.verify.certificate.certified`.
    """

    path: Path
    overwrite: bool
    lineage: Mapping[str, Any]
    verify: bool | None = None
    max_kl: float | None = None


def open_dense(path: str | Path) -> Model:
    """Open a model whose weights are not quantized yet; raises QuantError when they are."""
    model = open_model(path)
    if "quantization_config" in model.config:
        message = (
            f"{path} is quantized already; its weights have lost what a second rounding needs. "
            "Quantize the model it was made from."
        )
        raise QuantError(message)
    return model


def stored_dtype(model: Model, linears: Iterable[ParameterKey]) -> np.dtype:
    """The element type of the model's linears, in which the scales will be stored.

    transformers creates the scales of a compressed-tensors model in the model's own element type
    and casts what the file holds to it; only scales that are exact in it lose nothing.
    """
    return model.dtype(next(iter(linears)))


def storage(model: Model, linears: Iterable[ParameterKey], grid: Grid) -> Quantization:
    """How the file will hold the linears; call it before the work, to know that it can.

    Raises QuantError for families whose hub files store linears by input rows, and llm-convert's
    QuantizationError when only some parts of a fused tensor are to be quantized.
    """
    scheme = Scheme(grid.bits, None if grid.group_size == -1 else grid.group_size, grid.symmetric)
    quantization = Quantization(dict.fromkeys(linears, scheme))
    layout = Layout.of(model.spec, model.sizes, NAMING)
    for key in quantization.schemes:
        stored = layout.tensors[layout.source[key]]
        quantization.of(stored)
        if stored.transposed:
            message = (
                f"{stored.name} is stored by input rows in Hugging Face's layout of this family "
                "(Conv1D), and compressed-tensors has no such quantized weights: this family "
                "cannot be quantized. Choose a model of another family."
            )
            raise QuantError(message)
    return quantization


def write_model(
    outputs: Outputs,
    model: Model,
    linears: Iterable[ParameterKey],
    grid: Grid,
    quantized: Callable[[ParameterKey], Int4Weight | Int8Weight],
    report: Mapping[str, Any],
) -> None:
    """Write the folder: `quantized` gives the weights of `linears`, `model` all others.

    Scales are stored in the grid's scale type, every other weight in the type that it has in
    `model`. Raises llm-convert's ConvertError, and writes nothing, when the result is further
    than `max_kl` from `model`.
    """
    quantization = storage(model, linears, grid)
    # Saving asks for a weight once for each stored part of it (codes, scales, zeros), often in a
    # row; a fused tensor joins at most three weights.
    quantized = lru_cache(maxsize=3)(quantized)

    def parameter(key: ParameterKey) -> Weight:
        return quantized(key) if key in quantization.schemes else model.weight(key)

    # A router or a norm that is float32 among bfloat16 linears is so because it needs to be.
    types = {
        key: grid.scale_dtype if key in quantization.schemes else model.dtype(key)
        for key in model.parameters
    }
    with written_folder(outputs.path, outputs.lineage, overwrite=outputs.overwrite) as folder:
        save_model(
            folder,
            config=model.config,
            spec=model.spec,
            sizes=model.sizes,
            parameters=parameter,
            naming=NAMING,
            dtype=types,
            quantization=quantization,
        )
        copy_companions(model.path, folder)
        with written_file(folder / REPORT_FILE) as stream:
            stream.write(json.dumps(report, indent=1, default=str).encode() + b"\n")
        certificate = certified(model, folder, wanted=outputs.verify, max_kl=outputs.max_kl)
    if certificate is not None:
        console.print(said(certificate))


def summarize(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Counts and mean errors over the records of all linears, and which fell back to rounding."""
    known = [record for record in records.values() if record["error"] is not None]
    return {
        "linears": len(records),
        "gptq": sum(record["method"] == "gptq" for record in records.values()),
        "rtn": {
            name: record["reason"] for name, record in records.items() if record["method"] == "rtn"
        },
        "mean_error": statistics.fmean(record["error"] for record in known) if known else None,
        "mean_rtn_error": (
            statistics.fmean(record["rtn_error"] for record in known) if known else None
        ),
    }


def show(path: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Print mean errors by slot, the worst linear of each, and every fall-back."""
    slots: dict[str, list[tuple[float, float, str]]] = {}
    for name, record in records.items():
        if record["error"] is not None:
            entry = (record["error"], record["rtn_error"], name)
            slots.setdefault(ParameterKey.parse(name).slot, []).append(entry)
    rows = [
        (
            slot,
            len(entries),
            f"{statistics.fmean(entry[0] for entry in entries):.5f}",
            f"{statistics.fmean(entry[1] for entry in entries):.5f}",
            f"{max(entries)[2]} ({max(entries)[0]:.5f})",
        )
        for slot, entries in slots.items()
    ]
    if rows:
        table("Relative output error", ["slot", "linears", "GPTQ", "rounding", "worst"], rows)
    for name, reason in summarize(records)["rtn"].items():
        console.print(f"{name} was rounded to nearest: {reason}.")
    console.print(f"Wrote {path}; every linear is in {path / REPORT_FILE}.")
