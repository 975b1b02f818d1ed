"""Which row of the table describes a `config.json`.

Detection reads `architectures` and fields, never the name of a model. Rows may also let fields of
the configuration change them (`Reading`), so that a checkpoint with, say, biases where its family
usually has none is described as it is, or refused with the values that are supported.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from llm_kernels.errors import ConfigError, UnknownFamilyError
from llm_kernels.families.fields import plain_list
from llm_kernels.families.rows import ROWS, UNSUPPORTED_FIELDS
from llm_kernels.families.rows.row import Reading, Row, When, plain_type
from llm_kernels.families.spec import FamilySpec

FAMILIES: Mapping[str, FamilySpec] = MappingProxyType({row.spec.name: row.spec for row in ROWS})

SLIP = 0.9
"""From which likeness on a class name is taken for a slip of the pen."""
NEAREST = 8
"""Supported classes that an error lists."""


def supported_architectures() -> tuple[str, ...]:
    """Every class name that `architectures` of a config.json may hold, sorted."""
    return tuple(sorted({name for row in ROWS for name in row.architectures}))


def detect(config: Mapping[str, Any]) -> FamilySpec:
    """The family that a `config.json` describes, adjusted to what its fields state.

    Without `architectures`, by a `model_type` that only one row fits. Raises UnknownFamilyError
    that lists the nearest architectures and, where it can be told, what the model needs that no row
    offers; ConfigError for a field whose value is not supported.
    """
    row = _row(config)
    spec = row.spec
    for reading in row.readings:
        spec = _apply(spec, reading, config)
    return spec


def contradiction(config: Mapping[str, Any]) -> str | None:
    """What is odd about a `model_type` that is not that of the detected family; None if nothing.

    Raises as `detect`.
    """
    row, stated = _row(config), config.get("model_type")
    if not isinstance(stated, str) or plain_type(stated) in row.model_types | row.other_types:
        return None
    return (
        f"model_type is {stated!r}, but architectures, {', '.join(config['architectures'])}, is "
        f"what counts: the model is taken for the family {row.spec.name}. Check that config.json "
        "is the model's own."
    )


def computes_as(one: FamilySpec, other: FamilySpec) -> bool:
    """Whether two rows compute the same, whatever they are called and default sizes to."""

    def plain(spec: FamilySpec) -> FamilySpec:
        # Whether the head is tied is in the sizes.
        head = replace(spec.head, tied=None, tied_default=False)
        norm = replace(spec.norm, default_eps=None)
        mlp = replace(spec.mlp, default_width=None, width_factor=1.0)
        changes: dict[str, Any] = {"head": head, "norm": norm, "mlp": mlp}
        changes |= {"name": "", "length_fields": (), "default_length": None}
        return replace(spec, **changes)

    return plain(one) == plain(other)


def missing_fields(config: Mapping[str, Any], spec: FamilySpec) -> dict[str, Any] | None:
    """What to state in `config` so that it describes a model that computes as `spec`.

    Empty where it does already; None where no single field of its family can say it. Raises as
    `detect`.
    """
    if computes_as(detect(config), spec):
        return {}
    for reading in _row(config).readings:
        for value in reading.values if reading.field not in config else ():
            stated = {reading.field: value}
            if computes_as(detect({**config, **stated}), spec):
                return stated
    return None


def _row(config: Mapping[str, Any]) -> Row:
    architectures = plain_list(config, "architectures", str)
    if not architectures:
        return _row_of_type(config)
    rows = [row for row in ROWS if row.architectures.intersection(architectures)]
    matching = _fitting(rows, config)
    if not matching:
        raise UnknownFamilyError(_unknown(config, rows))
    assert len(matching) == 1, [row.spec.name for row in matching]
    return matching[0]


def _row_of_type(config: Mapping[str, Any]) -> Row:
    stated = config.get("model_type")
    plain = plain_type(stated) if isinstance(stated, str) else ""
    fitting = _fitting([row for row in ROWS if plain in row.model_types], config)
    if len(fitting) == 1:
        return fitting[0]
    if not plain:
        found = ""
    elif fitting:
        found = f"; model_type {stated!r} is that of {len(fitting)} families"
    else:
        found = f"; model_type {stated!r} is that of none"
    message = (
        "config.json has no `architectures`, so the family of this model cannot be told"
        f"{found}. Add the field with the name of the model's class. {_nearest(plain)}"
    )
    raise UnknownFamilyError(message)


def _fitting(rows: Sequence[Row], config: Mapping[str, Any]) -> list[Row]:
    return [row for row in rows if any(_holds(when, config) for when in row.when)]


def _holds(when: When, config: Mapping[str, Any]) -> bool:
    return (
        all(config.get(field) is not None for field in when.present)
        and all(config.get(field) is None for field in when.absent)
        and all(config.get(field) == value for field, value in when.equal)
        and all(config.get(field) != value for field, value in when.unequal)
    )


def _apply(spec: FamilySpec, reading: Reading, config: Mapping[str, Any]) -> FamilySpec:
    value = config.get(reading.field)
    if value is None:
        return spec
    if not isinstance(value, Hashable) or value not in reading.values:
        supported = ", ".join(repr(legal) for legal in reading.values)
        message = (
            f"{reading.field} in config.json is {value!r}; for the family {spec.name} supported: "
            f"{supported}. Use a checkpoint of the usual structure."
        )
        raise ConfigError(message)
    for path, change in reading.values[value].items():
        axis, _, field = path.partition(".")
        part = replace(getattr(spec, axis), **{field: change}) if field else change
        changes: dict[str, Any] = {axis: part}
        spec = replace(spec, **changes)
    return spec


def _unknown(config: Mapping[str, Any], rows: list[Row]) -> str:
    architectures = list(config["architectures"])
    named = ", ".join(map(str, architectures))
    if rows:
        expected = "; or ".join(str(when) for row in rows for when in row.when)
        return (
            f"The architecture {named} is known, but config.json fits none of its families. "
            f"Expected: {expected}. Copy the fields from the model's original config.json."
        )
    needs = [need for field, need in UNSUPPORTED_FIELDS.items() if config.get(field)]
    # All end alike (ForCausalLM), so that strangers are alike too; a slip leaves more than that.
    near = difflib.get_close_matches(str(architectures[0]), supported_architectures(), 1, SLIP)
    return "".join(
        (
            f"The architecture {named} is not supported",
            f" (its config.json asks for {', '.join(needs)}). " if needs else ". ",
            f"Did you mean {near[0]}? " if near and not needs else "",
            _nearest(str(architectures[0])),
        )
    )


def _nearest(name: str) -> str:
    supported = supported_architectures()
    near = difflib.get_close_matches(name, supported, n=NEAREST, cutoff=0.0)
    return (
        f"Supported are {', '.join(near)} and {len(supported) - len(near)} more, which "
        "docs/families.md lists."
    )
