"""The types that a row of the family table is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_kernels.families.spec import FamilySpec

_CLASS = re.compile(
    "(.+?)(ForCausalLM|LMHeadModel|ForConditionalGeneration|ForPretraining|ForGeneration|Model)"
)


@dataclass(frozen=True)
class When:
    """Fields of a config.json that must be present, must be absent, or must (not) have a value."""

    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    equal: tuple[tuple[str, object], ...] = ()
    unequal: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        """The condition in words."""
        parts = [f"{field} present" for field in self.present]
        parts += [f"{field} absent" for field in self.absent]
        parts += [f"{field}={value!r}" for field, value in self.equal]
        parts += [f"{field} other than {value!r}" for field, value in self.unequal]
        return ", ".join(parts) or "no condition"


@dataclass(frozen=True)
class Reading:
    """A field of config.json that changes the row.

    `values`: every supported value -> changes, as {"axis.field": value} or {"axis": value}. A value
    that is not listed is refused; an absent field changes nothing.
    """

    field: str
    values: Mapping[Any, Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """A family, the classes that `architectures` may name, and the fields that tell rows apart.

    `other_types`: values of `model_type` that its files have beside those that the names of its
    classes begin with.
    """

    spec: FamilySpec
    architectures: frozenset[str]
    when: tuple[When, ...] = (When(),)
    readings: tuple[Reading, ...] = ()
    other_types: frozenset[str] = frozenset()

    @property
    def model_types(self) -> frozenset[str]:
        """What `model_type` says of this family, as `plain_type` spells it."""
        stems = (_CLASS.fullmatch(name) for name in self.architectures)
        return frozenset(plain_type(stem[1]) for stem in stems if stem)


def plain_type(model_type: str) -> str:
    """A `model_type`, or the beginning of a class name, in small letters without separators."""
    return model_type.lower().replace("_", "").replace("-", "")
