"""`llm convert`: stream a checkpoint from one ecosystem's layout to the other's."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from llm_cli.console import console
from llm_cli.outputs import check_output_folder, lineage, written_folder
from llm_cli.progress import progress
from llm_convert.convert.adapter import convert_adapter
from llm_convert.convert.eight_bits import eight_bits
from llm_convert.convert.encoder import convert_encoder
from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.report import peak_memory, report
from llm_convert.convert.target import Target, check_packed, check_table, target_of
from llm_convert.convert.tokenizer import tokenizer_of, write_tokenizer
from llm_convert.encoders import find_encoder
from llm_convert.files.dtypes import floating
from llm_convert.foreign import gguf_module
from llm_convert.foreign.meta import open_meta
from llm_convert.hub import resolve_model
from llm_convert.lora import is_lora
from llm_convert.model import Model, copy_companions, open_model, read_config, save_model
from llm_convert.quantization import Quantization
from llm_convert.quantization.casting import cast_scheme
from llm_convert.quantization.dense import dense
from llm_convert.saving import Naming
from llm_convert.verify.certificate import certified, said, streamed
from llm_convert.verify.run import verify_golden
from llm_kernels.families import ParameterKey

Opener: TypeAlias = Callable[[Path], Model]
"""Opens what was written."""
Writer: TypeAlias = Callable[[ConvertOptions, Model, Path, Callable[[int], None]], Opener]
Q8_0, Q8_0_BITS = "q8_0", 9  # 8, and 16 bits for the scale of 32


def convert(options: ConvertOptions) -> int:
    """Convert a checkpoint, or verify one against golden logits, as the options say.

    Prints what was written or found; the exit code: 1 for a model beyond the tolerance.

    Raises:
        ConvertError: the source is not what the option says, or does not fit its config.json.
        UserError: output_path is not empty.
    """
    if options.golden is not None:
        return verify_golden(options)
    assert options.output_path is not None
    started = time.monotonic()
    # Before a name is looked up on a hub and its files are loaded.
    check_output_folder(options.output_path, overwrite=options.overwrite)
    found = _opened(options)
    if isinstance(found, int):
        return found
    source, model = found
    if model.quantization is not None and options.to != "gguf":
        check_packed(options, model.path, model.quantization)
    target = target_of(options, model.path, model.naming)
    check_table(model.spec, target)
    with written_folder(
        options.output_path,
        lineage(command="convert", options=options, inputs={"source": str(source)}),
        overwrite=options.overwrite,
    ) as folder:
        with progress("convert", total=_output_bytes(model, options.dtype), unit="B") as bar:
            opened = _WRITERS[target](options, model, folder, bar.advance)
        companions = copy_companions(source if source.is_dir() else source.parent, folder)
        if options.gguf is not None and target != "gguf":
            companions += write_tokenizer(source, folder)
        peak = peak_memory()
        certificate = certified(
            model, folder, wanted=options.verified, max_kl=options.max_kl, opened=opened
        )
    report(
        options,
        what=model.spec.name,
        shapes={key: (model.dtype(key), shape) for key, shape in model.parameters.items()},
        target=target,
        companions=companions,
        left_out=model.layout.left_out,
        peak=peak,
        seconds=time.monotonic() - started,
    )
    console.print(said(certificate) if certificate else "Not verified; --verify true does that.")
    return 0


def _opened(options: ConvertOptions) -> tuple[Path, Model] | int:
    """The source and its model; an exit code where it was no model and has been converted."""
    if options.from_meta is not None:
        return Path(options.from_meta), open_meta(Path(options.from_meta))
    if options.gguf is not None:
        return Path(options.gguf), gguf_module("reading").open_gguf(Path(options.gguf))
    named = str(options.from_torch or options.to_torch)
    source = resolve_model(named, from_aistudio=options.from_aistudio)
    if is_lora(source):
        return convert_adapter(options, source)
    found = find_encoder(read_config(Path(source)))
    if found is not None:
        return convert_encoder(options, source, found)
    return Path(source), open_model(source)


def _write_folder(
    options: ConvertOptions,
    model: Model,
    folder: Path,
    naming: Naming,
    written: Callable[[int], None],
) -> Opener:
    kept = model.quantization if options.dtype is None else None
    weights = streamed(model) if kept else _dense(model)
    scheme = cast_scheme(options.dtype)
    cast = None if scheme is None else eight_bits(model, scheme, weights)
    own = {key: model.dtype(key) for key in model.parameters}
    save_model(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=cast.parameters if cast else weights,
        naming=naming,
        dtype=cast.dtype if cast else options.dtype or own,
        max_shard_size=options.max_shard_size,
        quantization=cast.quantization if cast else kept,
        without_prefix=model.without_prefix,
        repeats_head=model.repeats_head,
        written=written,
    )
    return open_model


def _dense(model: Model) -> Callable[[ParameterKey], np.ndarray]:
    weights = streamed(model)
    return lambda key: dense(weights(key))


def _write_gguf(
    options: ConvertOptions, model: Model, folder: Path, written: Callable[[int], None]
) -> Opener:
    path = gguf_module("writing").write_gguf(
        folder,
        config=model.config,
        spec=model.spec,
        sizes=model.sizes,
        parameters=_dense(model),
        dtype=options.dtype or {key: model.dtype(key) for key in model.parameters},
        vocabulary=tokenizer_of(model.path, model.sizes.vocab),
        written=written,
    )
    return lambda _: gguf_module("reading").open_gguf(path)


_WRITERS: Mapping[Target, Writer] = MappingProxyType(
    {
        "hf": lambda options, model, folder, told: _write_folder(
            options, model, folder, "hf", told
        ),
        "paddlenlp": lambda options, model, folder, told: _write_folder(
            options, model, folder, "paddlenlp", told
        ),
        "gguf": _write_gguf,
    }
)


def _output_bytes(model: Model, dtype: str | None) -> int:
    """What will be written, but for the scales of quantized weights."""
    quantization = model.quantization if dtype is None else None
    cast = cast_scheme(dtype)
    if cast is not None:
        quantization = Quantization.uniform(model.spec, model.sizes, cast)
    schemes = quantization.schemes if quantization else {}

    def bits(key: ParameterKey) -> int:
        if key in schemes:
            return schemes[key].num_bits
        if dtype == Q8_0:
            return Q8_0_BITS
        kept = dtype is None or cast is not None
        return 8 * (model.dtype(key) if kept else floating(str(dtype))).itemsize

    return sum(prod(shape) * bits(key) for key, shape in model.parameters.items()) // 8
