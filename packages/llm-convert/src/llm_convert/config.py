"""config.json as each ecosystem's tools read it.

Family and sizes are stated by the same fields almost everywhere. What differs: the name of the
model's class in `architectures`, the field of the element type, PaddleNLP's own fields for rope
scaling, and sizes that PaddleNLP would default to another value. What a hub file had and PaddleNLP
has no place for is kept under `torch_checkpoint`, so that the way back restores it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from llm_convert.errors import ConvertError
from llm_convert.files.dtypes import dtype_name, is_floating
from llm_convert.files.tensor_file import TensorInfo
from llm_convert.names.classes import STATED, class_of, run_by
from llm_convert.quantization import FIELD
from llm_kernels.families import (
    ALIASES,
    DynamicScaling,
    FamilySpec,
    LinearScaling,
    NtkScaling,
    Sizes,
    missing_fields,
)

ORIGIN = "torch_checkpoint"
# PaddleNLP's loaders look here before they look at `architectures`.
RUN_BY_FIELD = "init_class"
# How many layers predict further tokens; they are never written.
FURTHER = "num_nextn_predict_layers"
DTYPE_FIELD: Mapping[str, str] = MappingProxyType({"hf": "torch_dtype", "paddlenlp": "dtype"})
# PaddleNLP's names of the scalings that it states by type and factor alone.
_SCALINGS: Mapping[type, str] = MappingProxyType(
    {LinearScaling: "linear", NtkScaling: "ntk", DynamicScaling: "dynamic_ntk"}
)
_SCALING_FIELDS = ("rope_scaling_type", "rope_scaling_factor")


def config_for(
    config: Mapping[str, Any],
    spec: FamilySpec,
    sizes: Sizes,
    naming: str,
    tensors: Mapping[str, TensorInfo],
    *,
    quantization: Mapping[str, Any] | None = None,
    without_prefix: bool = False,
    repeats_head: bool = False,
) -> dict[str, Any]:
    """The configuration for `naming`'s tools; the same family is detected in it again.

    Args:
        tensors: what will be written; the element type that most of it has is stated.
        quantization: the `quantization_config`; that of the source never stays.
        without_prefix: the hub's names lacked their optional prefix.
        repeats_head: the hub's files held a tied head beside the embedding.

    Raises ConvertError for a variant of a family that PaddleNLP's class has no field for.
    """
    replaced = (*DTYPE_FIELD.values(), FIELD, ORIGIN)
    translated = {name: value for name, value in config.items() if name not in replaced}
    if translated.get(FURTHER):
        translated[FURTHER] = 0
    origin = dict(config.get(ORIGIN) or {})
    if naming == "paddlenlp":
        noted = {"without_prefix": without_prefix, "repeats_head": repeats_head}
        origin |= {name: True for name, value in noted.items() if value}
        _to_paddlenlp(translated, origin, spec, sizes)
    else:
        _to_hub(translated, origin, spec, sizes)
    # Codes of quantized weights are no element type of the model.
    dtype = main_dtype(tensors, codes=quantization is None)
    if dtype:
        translated[DTYPE_FIELD[naming]] = dtype
    if quantization is not None:
        translated[FIELD] = dict(quantization)
    return translated


def main_dtype(tensors: Mapping[str, TensorInfo], *, codes: bool = True) -> str | None:
    """The floating element type that most bytes have, as config.json spells it.

    `codes`: whether float8, which nothing is computed in, counts as one.
    """
    bytes_of: Counter[str] = Counter()
    for info in tensors.values():
        if is_floating(info.dtype) and (codes or info.dtype.itemsize > 1):
            bytes_of[dtype_name(info.dtype)] += info.nbytes
    return bytes_of.most_common(1)[0][0] if bytes_of else None


def lacks_prefix(config: Mapping[str, Any]) -> bool:
    """Whether a converted checkpoint came from hub files without their optional prefix."""
    return _noted(config, "without_prefix")


def repeated_head(config: Mapping[str, Any]) -> bool:
    """Whether a converted checkpoint came from hub files that hold a tied head as well."""
    return _noted(config, "repeats_head")


def _noted(config: Mapping[str, Any], name: str) -> bool:
    origin = config.get(ORIGIN)
    return isinstance(origin, Mapping) and origin.get(name) is True


def _to_paddlenlp(
    config: dict[str, Any], origin: dict[str, Any], spec: FamilySpec, sizes: Sizes
) -> None:
    own = class_of(spec, "paddlenlp")
    if own is not None and config.get("architectures") != [own]:
        origin.setdefault("architectures", config.get("architectures"))
        config["architectures"] = [own]
    added: dict[str, Any] = dict(STATED.get(spec.name, {}))
    if not any(config.get(field) is not None for field in ALIASES["mlp"]):
        added[ALIASES["mlp"][0]] = round(sizes.mlp / spec.mlp.width_factor)
    scaling = sizes.rope_scaling
    if scaling is not None and type(scaling) in _SCALINGS:
        kind, factor = _SCALING_FIELDS
        added |= {kind: _SCALINGS[type(scaling)], factor: _factor(scaling)}
    added = {field: value for field, value in added.items() if field not in config}
    added |= _variant(config, spec) | _run_by(config, spec)
    if added:
        config.update(added)
        origin["added"] = sorted({*origin.get("added", ()), *added})
    if origin:
        config[ORIGIN] = origin


def _variant(config: Mapping[str, Any], spec: FamilySpec) -> dict[str, Any]:
    """What says to PaddleNLP's class which variant of its family the model is."""
    if config.get("architectures") != [class_of(spec, "paddlenlp")]:
        return {}
    return _stated(config, spec)


def _run_by(config: Mapping[str, Any], spec: FamilySpec) -> dict[str, Any]:
    """What lets PaddleNLP compute a family by the class of another one."""
    other = run_by(spec)
    if other is None or RUN_BY_FIELD in config:
        return {}
    # A head whose rows are scaled when used is written scaled (`Checkpoint.raw_head`).
    scaled = replace(spec, head=replace(spec.head, normalized=False))
    fields = _stated({**config, "architectures": [other]}, scaled)
    return {RUN_BY_FIELD: other, **fields}


def _stated(config: Mapping[str, Any], spec: FamilySpec) -> dict[str, Any]:
    fields = missing_fields(config, spec)
    if fields is None:
        message = (
            f"PaddleNLP's class {config['architectures'][0]} cannot compute this variant of "
            f"{spec.name}: it has no field that says so in config.json. Write the naming 'hf' "
            "instead (--to hf)."
        )
        raise ConvertError(message)
    return fields


def _to_hub(
    config: dict[str, Any], origin: Mapping[str, Any], spec: FamilySpec, sizes: Sizes
) -> None:
    own = class_of(spec, "paddlenlp")
    if own is not None and config.get("architectures") == [own]:
        config["architectures"] = origin.get("architectures") or [class_of(spec, "hf")]
    added = origin.get("added", ())
    # PaddleNLP saves such a model as one of the other family, whose `architectures` need the rest.
    if RUN_BY_FIELD not in added or RUN_BY_FIELD in config:
        for field in added:
            config.pop(field, None)
    stated = {field: config.pop(field, None) for field in _SCALING_FIELDS}
    scaling = sizes.rope_scaling
    if stated["rope_scaling_type"] and not config.get("rope_scaling") and scaling is not None:
        kind = "dynamic" if isinstance(scaling, DynamicScaling) else stated["rope_scaling_type"]
        config["rope_scaling"] = {"type": kind, "factor": _factor(scaling)}


def _factor(scaling: object) -> float:
    assert isinstance(scaling, LinearScaling | NtkScaling | DynamicScaling)
    return scaling.factor
