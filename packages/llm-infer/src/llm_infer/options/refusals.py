"""What this version cannot do, one row an option: refused with a sentence, never ignored."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from sys import float_info
from typing import Any

from llm_infer.errors import UnsupportedError
from llm_infer.options.synonyms import WITH_CACHE


@dataclass(frozen=True)
class Values:
    """The values of one option: those that work, and known ones that do not, with the reason."""

    works: tuple[str, ...]
    known: Mapping[str, str]


_GPU = "this version runs on the CPU; use --device cpu"

QUANT_TYPES = ("weight_only_int8", "weight_only_int4", "a8w8", "a8w8_fp8")
"""What linears may be rounded to while loading."""

MODEL_VALUES: Mapping[str, Values] = {
    "device": Values(("cpu",), dict.fromkeys(("gpu", "xpu", "npu", "gcu", "mlu"), _GPU)),
    "mode": Values(("dynamic", "static"), {}),
    "dtype": Values(
        ("float32", "bfloat16"),
        {
            "float16": "the engine computes in float32 and keeps weights in float32 or bfloat16; "
            "float16 files are read and widened. Use --dtype bfloat16 for half the memory"
        },
    ),
    "quant_type": Values((*QUANT_TYPES, *WITH_CACHE), {}),
    "act_quant_type": Values(("int8_block", "int8_token", "none"), {}),
    "cachekv_int8_type": Values(("dynamic", "static"), {}),
    "cachekv_dtype": Values(("float32", "bfloat16"), {}),
}
STRATEGIES = Values(("greedy_search", "sampling", "beam_search"), {})

RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, float_info.max),
    "top_k": (0, float_info.max),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "length_penalty": (-float_info.max, float_info.max),
    "timeout_s": (0.0, float_info.max),
    "seed": (0, float_info.max),
}
"""What the sampling of the engine takes; the errors here come before a model is loaded."""

ONLY_SAMPLING: Mapping[str, tuple[float, ...]] = {
    "top_k": (0, 1),
    "top_p": (0, 1),
    "min_p": (0,),
    "temperature": (0, 1),
}
"""Options that change samples only, and the values under which they change nothing."""
ONLY_BEAMS: Mapping[str, object] = {
    "num_beams": 4,
    "length_penalty": 1.0,
    "early_stopping": "false",
}
"""Options of a beam search, and their defaults."""


def refuse_model(options: Any) -> None:
    """Raise UnsupportedError for the first option about the model that cannot be honoured."""
    for name, values in MODEL_VALUES.items():
        _check_value(name, getattr(options, name), values)
    for rule in (_check_paddle, _check_prefix):
        rule(options)


def refuse_sampling(options: Any) -> None:
    """Raise UnsupportedError for the first option about answers that cannot be honoured."""
    for name, (low, high) in RANGES.items():
        value = getattr(options, name)
        if value is None or low <= value <= high:
            continue
        bound = f"at least {low}" if high == float_info.max else f"between {low} and {high}"
        message = f"--{name} is {value}; it must be {bound}."
        raise UnsupportedError(message)
    _check_value("decode_strategy", options.decode_strategy, STRATEGIES)
    if options.decode_strategy != "beam_search":
        for name, default in ONLY_BEAMS.items():
            value = getattr(options, name)
            if value != default:
                message = (
                    f"--{name} {value} has no effect with --decode_strategy "
                    f"{options.decode_strategy}; add --decode_strategy beam_search."
                )
                raise UnsupportedError(message)
    if options.decode_strategy == "sampling":
        return
    for name, neutral in ONLY_SAMPLING.items():
        value = getattr(options, name)
        if value not in neutral:
            message = (
                f"--{name} {value} has no effect with --decode_strategy {options.decode_strategy}; "
                "add --decode_strategy sampling."
            )
            raise UnsupportedError(message)


def _check_value(name: str, value: str | None, values: Values) -> None:
    if not value or value in values.works:
        return
    if value in values.known:
        message = f"--{name} {value} is not supported: {values.known[value]}."
        raise UnsupportedError(message)
    possible = ", ".join([*values.works, *values.known])
    near = difflib.get_close_matches(value, [*values.works, *values.known], n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    message = f"--{name} is {value!r}; possible: {possible}.{hint}"
    raise UnsupportedError(message)


def _check_paddle(options: Any) -> None:
    if options.inference_model:
        return
    wrong = {
        "block_attn": "is the native engine's",
        "use_flash_attention": "needs the native engine or a GPU",
        "avx_model": "is the native engine",
        "avx_type": "is of the native engine",
        "quant_type": "needs the native engine",
        "act_quant_type": "needs the native engine",
        "cachekv_int8_type": "needs the native engine",
        "use_fake_parameter": "needs the native engine",
    }
    for name, reason in wrong.items():
        value = getattr(options, name)
        if value:
            given = "" if value is True else f" {value}"
            message = (
                f"--{name}{given} {reason}, and --inference_model false asks for Paddle's "
                "decoder. Leave one of them out."
            )
            raise UnsupportedError(message)
    for name in ("dtype", "cachekv_dtype"):
        value = getattr(options, name)
        if value not in (None, "float32"):
            message = f"--{name} {value} needs the native engine; Paddle computes in float32 here."
            raise UnsupportedError(message)
    if options.mode == "static":
        for name in ("lora_path", "prefix_path"):
            if getattr(options, name):
                message = (
                    f"--{name} cannot be added to an exported graph (--mode static). Export the "
                    "merged model (`llm peft merge`), or use --mode dynamic."
                )
                raise UnsupportedError(message)


def _check_prefix(options: Any) -> None:
    if options.export_precache and not options.prefix_path:
        message = "--export_precache keeps a tuned prefix; name it with --prefix_path too."
        raise UnsupportedError(message)
