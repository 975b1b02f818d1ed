"""From quantized weights to the arrays and the configuration that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_convert.errors import QuantizationError
from llm_convert.layout import StoredTensor, Weight
from llm_convert.quantization.scheme import (
    EIGHT_BITS,
    FORMAT,
    INPUT_SCALE,
    METHOD,
    PACKED,
    SCALE,
    WORD,
    Quantization,
    Scheme,
)
from llm_kernels.families import SLOTS
from llm_kernels.weights import Float8Weight, Int4Weight, Int8Weight, RoundedInputs


def to_config(quantization: Quantization, stored: Mapping[str, StoredTensor]) -> dict[str, Any]:
    """The `quantization_config` for config.json, naming the modules that stay dense.

    Raises QuantizationError for linears in several formats, which one file cannot state.
    """
    modules: dict[Scheme, list[str]] = {}
    ignore = []
    for name, tensor in stored.items():
        if SLOTS[tensor.parts[0].slot].kind != "linear" or not name.endswith(".weight"):
            continue
        scheme = quantization.of(tensor)
        if scheme is None:
            ignore.append(name.removesuffix(".weight"))
        else:
            modules.setdefault(scheme, []).append(name.removesuffix(".weight"))
    uniform = len(modules) == 1
    groups = {
        f"group_{index}": {
            "targets": ["Linear"] if uniform else names,
            "weights": _arguments(scheme),
            "input_activations": _input_arguments(scheme),
            "output_activations": None,
            # Without it, compressed-tensors takes int8 weights with plain inputs to be packed.
            **({"format": scheme.form} if scheme.form in EIGHT_BITS else {}),
        }
        for index, (scheme, names) in enumerate(modules.items())
    }
    forms = {scheme.form for scheme in modules}
    if len(forms) > 1:
        message = (
            f"Linears are to be stored as {' and '.join(sorted(forms))}; one format is needed."
        )
        raise QuantizationError(message)
    return {
        "quant_method": METHOD,
        "format": forms.pop() if forms else FORMAT,
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ignore,
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def _arguments(scheme: Scheme) -> dict[str, Any]:
    return {
        "num_bits": scheme.num_bits,
        "type": _number_type(scheme),
        "symmetric": scheme.symmetric,
        "strategy": "channel" if scheme.group_size is None else "group",
        "group_size": scheme.group_size,
        "dynamic": False,
    }


def _input_arguments(scheme: Scheme) -> dict[str, Any] | None:
    if scheme.inputs is None:
        return None
    dynamic = scheme.inputs == "dynamic"
    return {
        "num_bits": scheme.num_bits,
        "type": _number_type(scheme),
        "symmetric": True,
        "strategy": "token" if dynamic else "tensor",
        "group_size": None,
        "dynamic": dynamic,
    }


def _number_type(scheme: Scheme) -> str:
    return "float" if scheme.form == "float-quantized" else "int"


def stored_array(part: str, weight: Weight, name: str, scheme: Scheme) -> np.ndarray:
    """The array to store for one `part` of a weight.

    `part`: what `stored_infos` appends to the weight's name, or the name of its inputs' scale.
    Raises QuantizationError where the weight is not held as the scheme says.
    """
    if scheme.form in EIGHT_BITS:
        return _eight_bits(part, weight, name, scheme)
    columns = weight.shape[1]
    expected = Int4Weight if scheme.num_bits == 4 else Int8Weight
    size = scheme.group_size or columns
    if not isinstance(weight, expected) or weight.scales.shape[1] * size != columns:
        message = (
            f"{name} was announced as {scheme.num_bits}-bit with groups of {size}, but is a "
            f"{type(weight).__name__}."
        )
        raise QuantizationError(message)
    if part == SCALE:
        return weight.scales
    if isinstance(weight, Int8Weight):
        return _words(weight.codes.view(np.uint8) ^ np.uint8(0x80))
    if part == PACKED:
        return _words(weight.packed)
    if weight.zeros is None:
        message = f"{name} was announced as asymmetric, but has no zero points."
        raise QuantizationError(message)
    return np.ascontiguousarray(_words(_pack_nibbles(weight.zeros.T)).T)


def _eight_bits(part: str, weight: Weight, name: str, scheme: Scheme) -> np.ndarray:
    rounding = weight.rounding.kind if isinstance(weight, RoundedInputs) else None
    held = weight.weight if isinstance(weight, RoundedInputs) else weight
    expected = Float8Weight if scheme.form == "float-quantized" else Int8Weight
    kinds = {None: None, "dynamic": "token", "static": "static"}
    same = (rounding or "").partition("_")[2] == (kinds[scheme.inputs] or "")
    if not isinstance(held, expected) or held.scales.shape[1] != 1 or not same:
        message = (
            f"{name} was announced as {scheme.form} by row with {scheme.inputs or 'unrounded'} "
            f"inputs, but is a {type(held).__name__} with {rounding or 'unrounded'} ones."
        )
        raise QuantizationError(message)
    if part.endswith(INPUT_SCALE):
        assert isinstance(weight, RoundedInputs)
        return np.array([weight.rounding.scale], np.float32)
    return held.scales if part == SCALE else held.codes


def _words(rows: np.ndarray) -> np.ndarray:
    """Bytes [N, B] as int32 [N, ceil(B / 4)], a view where the rows need no padding."""
    padding = -rows.shape[1] % 4
    if padding:
        rows = np.pad(rows, ((0, 0), (0, padding)))
    return np.ascontiguousarray(rows).view(WORD)


def _pack_nibbles(codes: np.ndarray) -> np.ndarray:
    """Codes 0..15 uint8 [R, C] as bytes [R, ceil(C / 2)], the even column in the low nibble."""
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return codes[:, 0::2] | codes[:, 1::2] << np.uint8(4)
