"""`llm convert` for adapters: Hugging Face PEFT's LoRA to PaddleNLP's, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from math import isclose
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from llm_cli.console import console
from llm_cli.outputs import lineage, written_folder
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.readback import Held, certify_tensors, said
from llm_convert.convert.target import check_plain, target_naming
from llm_convert.errors import AdapterError
from llm_convert.hub import hub_name, resolve_model
from llm_convert.lora import (
    LoraAdapter,
    adapter_naming,
    carried_sketch,
    read_lora,
    write_lora,
    write_peft,
    write_sketch,
)
from llm_convert.lora.reading import adapter_config
from llm_convert.model import copy_companions, open_model
from llm_convert.shard_size import DEFAULT_SHARD
from llm_kernels.families import ParameterKey

_WRITERS = {"paddlenlp": write_lora, "hf": write_peft}
_ROUNDINGS = 16
"""Roundings of products, in units of the type's precision, that a conversion may add up to."""


def convert_adapter(options: ConvertOptions, source: str) -> int:
    """Convert the adapter in the folder `source`; 0, the exit code.

    Of its base model little more is read than config.json and a few numbers of each adapted weight,
    which are kept beside the adapter so that another base is recognised later.

    Raises:
        AdapterError: no base model, an adapter that does not fit it, or one of another base; a
            --max_shard_size, which an adapter's one file does not heed.
        ConvertError: the adapter is not what the option says, or what was written is not it.
        UserError: output_path is not empty.
    """
    assert options.output_path is not None
    started = time.monotonic()
    _check_one_file(options)
    check_plain(options, Path(source))
    target = target_naming(options, Path(source), str(adapter_naming(source)))
    config = adapter_config(source)
    named = options.base_model_name_or_path or config.get("base_model_name_or_path")
    model = open_model(_base(options, source, named))
    adapter = read_lora(source, model)
    carried = carried_sketch(source, model, adapter)
    inputs = {"source": source, "base_model_name_or_path": str(model.path)}
    origin = lineage(command="convert", options=options, inputs=inputs)
    with written_folder(options.output_path, origin, overwrite=options.overwrite) as folder:
        _WRITERS[target](
            folder,
            adapter,
            spec=model.spec,
            sizes=model.sizes,
            dtype=options.dtype,
            base_model_name_or_path=_kept_name(config, named),
            lora_dropout=float(config.get("lora_dropout") or 0.0),
        )
        write_sketch(folder, carried)
        copy_companions(source, folder)
        held = _held(adapter, lambda: read_lora(folder, model))
        certificate = certify_tensors(options, folder, held)
    console.print(
        f"Wrote {options.output_path}: {model.spec.name} adapter of {len(adapter.pairs)} linears "
        f"(rank {adapter.rank}, scaling {adapter.scaling:g}), {target} layout, in "
        f"{time.monotonic() - started:.1f} s."
    )
    console.print(said(certificate))
    return 0


def _kept_name(config: Mapping[str, Any], named: str | None) -> str | None:
    """The hub's name that the adapter states, which others can use too, or else `named`."""
    stated = config.get("base_model_name_or_path")
    return stated if isinstance(stated, str) and hub_name(stated) else named


def _check_one_file(options: ConvertOptions) -> None:
    if options.max_shard_size != DEFAULT_SHARD:
        message = (
            f"--max_shard_size is {options.max_shard_size}, but an adapter is one file in either "
            "layout. Leave it out."
        )
        raise AdapterError(message)


def _held(source: LoraAdapter, read: Callable[[], LoraAdapter]) -> Iterator[Held]:
    """The matrices of an adapter beside those that `read` finds in the files.

    Where PaddleNLP's one rank and one scaling have changed them, their products are compared. A
    fused module adapts its other parts too, by nothing.
    """
    result = read()
    missing = {*source.pairs, *source.replaced} - {*result.pairs, *result.replaced}
    if missing:
        message = (
            f"The adapter was written without {', '.join(sorted(key.name for key in missing))}. "
            "Nothing was written; convert it with the tool that trained it."
        )
        raise AdapterError(message)
    for key, (_, b) in result.pairs.items():
        if key in source.pairs:
            yield from _held_pair(key, source, result)
        else:
            yield Held(key.name, np.zeros_like(b), b)
    for key, array in source.replaced.items():
        yield Held(key.name, array, result.replaced[key])


def _held_pair(key: ParameterKey, source: LoraAdapter, result: LoraAdapter) -> Iterator[Held]:
    (a, b), (found_a, found_b) = source.pairs[key], result.pairs[key]
    alike = isclose(source.scaling_of(key), result.scaling_of(key), rel_tol=1e-9)
    if alike and (a.shape, b.shape) == (found_a.shape, found_b.shape):
        yield Held(f"A of {key.name}", a, found_a)
        yield Held(f"B of {key.name}", b, found_b)
        return
    magnitudes = (np.abs(matrix.astype(np.float32)) for matrix in (a, b))
    largest = source.scaling_of(key) * float((next(magnitudes) @ next(magnitudes)).max())
    precision = max(float(ml_dtypes.finfo(matrix.dtype).eps) for matrix in (found_a, found_b))
    rounding = max(_ROUNDINGS * precision * largest, float(np.finfo(np.float32).tiny))
    yield Held(f"the sum for {key.name}", source.delta(key), result.delta(key), rounding)


def _base(options: ConvertOptions, source: str, named: object) -> str:
    if isinstance(named, str) and (
        options.base_model_name_or_path or Path(named).is_dir() or hub_name(named)
    ):
        return resolve_model(named, from_aistudio=options.from_aistudio)
    message = (
        f"{source} holds an adapter, and names no base model that is here. Name it with "
        "--base_model_name_or_path."
    )
    raise AdapterError(message)
