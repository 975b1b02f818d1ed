"""`llm convert`: stream a checkpoint from one ecosystem's layout to the other's."""

from __future__ import annotations

import resource
import sys
import time
from math import prod
from pathlib import Path

from llm_cli.console import console
from llm_cli.outputs import lineage, written_folder
from llm_cli.progress import progress, scaled
from llm_convert.convert.options import ConvertOptions
from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import floating
from llm_convert.model import Model, copy_companions, open_model, save_model
from llm_convert.saving import Naming
from llm_convert.verify.certificate import certified, said, streamed
from llm_convert.verify.run import verify_golden
from llm_kernels.families import ParameterKey


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
    source = str(options.from_torch or options.to_torch)
    model = open_model(source)
    target = _target(options, model)
    quantization = model.quantization if options.dtype is None else None
    with (
        written_folder(
            options.output_path,
            lineage(command="convert", options=options, inputs={"source": source}),
            overwrite=options.overwrite,
        ) as folder,
        progress("convert", total=_output_bytes(model, options.dtype), unit="B") as bar,
    ):
        save_model(
            folder,
            config=model.config,
            spec=model.spec,
            sizes=model.sizes,
            parameters=streamed(model, dense=quantization is None),
            naming=target,
            dtype=options.dtype or {key: model.dtype(key) for key in model.parameters},
            max_shard_size=options.max_shard_size,
            quantization=quantization,
            without_prefix=model.without_prefix,
            written=bar.advance,
        )
        companions = copy_companions(source, folder)
        peak = peak_memory()
        certificate = certified(model, folder, wanted=options.verified, max_kl=options.max_kl)
    _report(options, model, target, companions, peak, time.monotonic() - started)
    console.print(said(certificate) if certificate else "Not verified; --verify true does that.")
    return 0


def _target(options: ConvertOptions, model: Model) -> Naming:
    """The layout to write; the source must be what the option that named it says."""
    stated, other, option = (
        ("hf", "paddlenlp", "--to_torch")
        if options.from_torch
        else ("paddlenlp", "hf", "--from_torch")
    )
    if model.naming != stated:
        message = (
            f"{model.path} holds {model.naming} names, not {stated} ones. Name it with {option}."
        )
        raise ConvertError(message)
    target = options.to or other
    return "hf" if target == "hf" else "paddlenlp"


def _output_bytes(model: Model, dtype: str | None) -> int:
    """What will be written, but for the scales of quantized weights."""
    schemes = model.quantization.schemes if model.quantization and dtype is None else {}

    def bits(key: ParameterKey) -> int:
        if key in schemes:
            return schemes[key].num_bits
        return 8 * (floating(dtype) if dtype else model.dtype(key)).itemsize

    return sum(prod(shape) * bits(key) for key, shape in model.parameters.items()) // 8


def _report(
    options: ConvertOptions,
    model: Model,
    target: Naming,
    companions: list[str],
    peak: int,
    seconds: float,
) -> None:
    count = sum(prod(shape) for shape in model.parameters.values())
    largest = max(
        prod(shape) * model.dtype(key).itemsize for key, shape in model.parameters.items()
    )
    console.print(
        f"Wrote {options.output_path}: {model.spec.name}, {count:,} parameters, {target} layout, "
        f"{options.dtype or 'types kept'}, in {seconds:.1f} s."
    )
    console.print(
        f"Carried along: {', '.join(companions) or 'nothing (no tokenizer files there)'}."
    )
    console.print(
        f"Peak memory of the conversion {scaled(peak, 'B')}; the largest tensor is "
        f"{scaled(largest, 'B')}."
    )


def peak_memory() -> int:
    """Most bytes this process has had resident, mapped files included."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        # Bytes on macOS; elsewhere KB, and no less than the process had that started this one.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
