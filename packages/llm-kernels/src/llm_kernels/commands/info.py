"""`llm kernels info`: what the native kernels run on here, and why."""

from __future__ import annotations

import json
import os

from llm_cli.console import console, table
from llm_kernels import native
from llm_kernels.commands.options import InfoOptions
from llm_kernels.ops import __all__ as op_names

ISA_VARIABLE = "LLM_KERNELS_ISA"


def info(options: InfoOptions) -> None:
    """Print the instruction set, the threads, and a row for each op."""
    detected, selected = native.detected_isa(), native.selected_isa()
    facts = {
        "detected": detected,
        "selected": selected,
        "why": why(detected, selected, os.environ.get(ISA_VARIABLE)),
        "threads": native.default_threads(),
        "extension": str(native.extension().__file__),
    }
    ops = [name for name in op_names if name not in ("PackedLinear", "pack")]
    runs_on = dict.fromkeys((*ops, "decoder step"), f"C++, {selected}")
    if options.json:
        console.print(json.dumps(facts | {"ops": runs_on}), markup=False)
        return
    names = {
        "detected": "instruction set of this processor",
        "selected": "instruction set used",
    }
    table(
        "Native kernels",
        ("what", "value"),
        [(names.get(key, key), value) for key, value in facts.items()],
    )
    rows = [(name, where, facts["why"]) for name, where in runs_on.items()]
    table("Ops", ("op", "runs on", "why"), rows)
    console.print(
        "Weights: float32, int8 and int4. "
        "Keys and values: float32, bfloat16 and int8. No GPU kernels."
    )


def why(detected: str, selected: str, wanted: str | None) -> str:
    """Why `selected` is used where the processor has `detected` and the variable says `wanted`."""
    if selected != detected:
        return f"{ISA_VARIABLE}={wanted} lowers it from {detected}"
    if wanted and wanted != detected:
        return f"best of this processor ({ISA_VARIABLE}={wanted} cannot raise it)"
    return "best of this processor"
