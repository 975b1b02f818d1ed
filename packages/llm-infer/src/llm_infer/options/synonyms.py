"""Options that stand for others, given their meaning before anything else is decided.

Until then None is "not given": what a synonym means and what was given beside it must agree, or
one of the two would be ignored in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_infer.errors import UnsupportedError

MEANINGS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("avx_type", "fp16"): ("dtype", "float32"),
    ("avx_type", "bf16"): ("dtype", "bfloat16"),
    ("avx_type", "fp16_int8"): ("quant_type", "weight_only_int8"),
}
"""Names of PaddleNLP with their values, and the option and value that they stand for."""

WITH_CACHE = {"a8w8c8": "a8w8", "a8w8c8_fp8": "a8w8_fp8"}
"""Values of quant_type that mean an int8 KV cache besides."""


def expand(options: Any) -> None:
    """Replace synonyms by their meaning. Raises UnsupportedError where something contradicts it."""
    for (name, value), (meant, meaning) in MEANINGS.items():
        if getattr(options, name) != value:
            continue
        given = getattr(options, meant)
        if given not in (None, meaning):
            message = (
                f"--{name} {value} means --{meant} {meaning}, but --{meant} is {given}. Leave one "
                "of them out."
            )
            raise UnsupportedError(message)
        setattr(options, meant, meaning)
    _check_cache(options)
    if options.avx_cachekv_type == "fp16":
        options.cachekv_dtype = options.cachekv_dtype or "float32"
    if options.quant_type in WITH_CACHE:
        options.quant_type = WITH_CACHE[options.quant_type]
        options.cachekv_int8_type = options.cachekv_int8_type or "dynamic"


def _check_cache(options: Any) -> None:
    """Raise UnsupportedError where both int8 and another type are asked for the one cache."""
    asked = options.cachekv_int8_type and f"--cachekv_int8_type {options.cachekv_int8_type}"
    if options.quant_type in WITH_CACHE:
        asked = asked or f"--quant_type {options.quant_type}"
    for name in ("cachekv_dtype", "avx_cachekv_type"):
        given = getattr(options, name)
        if asked and given:
            message = (
                f"{asked} keeps keys and values in int8, but --{name} is {given}. Leave one of "
                "them out."
            )
            raise UnsupportedError(message)
