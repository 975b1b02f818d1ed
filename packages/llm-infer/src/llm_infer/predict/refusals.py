"""What this version cannot do, one row an option: refused with a sentence, never ignored."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any

from llm_infer.errors import UnsupportedError


@dataclass(frozen=True)
class Values:
    """The values of one option: those that work, and known ones that do not, with the reason."""

    works: tuple[str, ...]
    known: Mapping[str, str]


_GPU = "this version runs on the CPU; use --device cpu"
_LATER = "this version has {} only"

QUANT_TYPES = ("weight_only_int8", "weight_only_int4")
_ONLY_WEIGHTS = _LATER.format("weight_only_int8 and weight_only_int4")

VALUES: Mapping[str, Values] = {
    "device": Values(("cpu",), dict.fromkeys(("gpu", "xpu", "npu", "gcu", "mlu"), _GPU)),
    "mode": Values(
        ("dynamic",),
        {"static": "exported models cannot be run yet; use --mode dynamic with the model's folder"},
    ),
    "dtype": Values(
        ("float32",),
        dict.fromkeys(
            ("float16", "bfloat16"),
            "the engine computes in float32 (16-bit files are read and widened); use --dtype "
            "float32, or --quant_type weight_only_int8 for less memory",
        ),
    ),
    "quant_type": Values(
        QUANT_TYPES,
        dict.fromkeys(("a8w8", "a8w8c8", "a8w8_fp8", "a8w8c8_fp8"), _ONLY_WEIGHTS),
    ),
    "decode_strategy": Values(
        ("greedy_search", "sampling"),
        {"beam_search": _LATER.format("greedy_search and sampling")},
    ),
}

ABSENT: Mapping[str, str] = {
    "prefix_path": "prefix tuning cannot be run yet; use a merged or a LoRA model",
    "cachekv_int8_type": "the KV cache is float32 in this version; leave the option out",
    "export_precache": "there is no prefix cache to export in this version; leave the option out",
    "use_fake_parameter": "a model with weights is needed in this version; give its folder",
}


RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, float_info.max),
    "top_k": (0, float_info.max),
    "top_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "seed": (0, float_info.max),
}
"""What the sampling of the engine takes; the errors here come before a model is loaded."""


def refuse(options: Any) -> None:
    """Raise UnsupportedError for the first option of `options` that cannot be honoured."""
    _check_ranges(options)
    for name, values in VALUES.items():
        value = getattr(options, name)
        if value and value not in values.works:
            raise UnsupportedError(_sentence(name, value, values))
    for name, reason in ABSENT.items():
        if getattr(options, name):
            message = f"--{name} is not supported: {reason}."
            raise UnsupportedError(message)
    _contradictions(options)


def _check_ranges(options: Any) -> None:
    for name, (low, high) in RANGES.items():
        value = getattr(options, name)
        if value is None or low <= value <= high:
            continue
        bound = f"at least {low}" if high == float_info.max else f"between {low} and {high}"
        message = f"--{name} is {value}; it must be {bound}."
        raise UnsupportedError(message)


def _sentence(name: str, value: str, values: Values) -> str:
    if value in values.known:
        return f"--{name} {value} is not supported: {values.known[value]}."
    possible = ", ".join(values.works)
    near = difflib.get_close_matches(value, [*values.works, *values.known], n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"--{name} is {value!r}; possible: {possible}.{hint}"


def _contradictions(options: Any) -> None:
    if not options.inference_model and options.block_attn:
        message = (
            "--block_attn is the native engine's, and --inference_model false asks for Paddle's. "
            "Leave one of them out."
        )
        raise UnsupportedError(message)
    if not options.inference_model and options.quant_type:
        message = (
            f"--quant_type {options.quant_type} needs the native engine; leave "
            "--inference_model false out."
        )
        raise UnsupportedError(message)
    if options.decode_strategy != "greedy_search":
        return
    for name, neutral in (("top_k", (0, 1)), ("top_p", (0, 1)), ("temperature", (0, 1))):
        value = getattr(options, name)
        if value not in neutral:
            message = (
                f"--{name} {value} has no effect with --decode_strategy greedy_search; add "
                "--decode_strategy sampling."
            )
            raise UnsupportedError(message)
