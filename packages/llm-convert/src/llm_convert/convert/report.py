"""What a conversion tells when it is done: what was written, and how much memory it took."""

from __future__ import annotations

import re
import resource
import sys
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from llm_cli.console import console
from llm_cli.progress import scaled
from llm_convert.convert.options import ConvertOptions


def report(
    options: ConvertOptions,
    *,
    what: str,
    shapes: Mapping[object, tuple[np.dtype, tuple[int, ...]]],
    target: str,
    companions: list[str],
    left_out: Sequence[str] = (),
    peak: int,
    seconds: float,
) -> None:
    """Print the outcome of a conversion.

    Args:
        what: the family of the model.
        shapes: element type and shape of each parameter of the source.
        companions: names of the files carried along.
        left_out: names of tensors that only predict further tokens.
        peak: bytes that the conversion had resident at most.
    """
    count = sum(prod(shape) for _, shape in shapes.values())
    largest = max(prod(shape) * dtype.itemsize for dtype, shape in shapes.values())
    console.print(
        f"Wrote {options.output_path}: {what}, {count:,} parameters, {target} layout, "
        f"{options.dtype or 'types kept'}, in {seconds:.1f} s."
    )
    console.print(
        f"Carried along: {', '.join(companions) or 'nothing (no tokenizer files there)'}."
    )
    if left_out:
        console.print(
            f"Left out: {len(left_out)} tensors that predict further tokens "
            f"({', '.join(sorted({_layer(name) for name in left_out}))}); they take no "
            "part in a model's own answer."
        )
    console.print(
        f"Peak memory of the conversion {scaled(peak, 'B')}; the largest tensor is "
        f"{scaled(largest, 'B')}."
    )


def _layer(name: str) -> str:
    """The layer that a tensor is in: `model.layers.61`."""
    found = re.match(r".*?\.\d+(?=\.)|.*", name)
    return found[0] if found else name


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
