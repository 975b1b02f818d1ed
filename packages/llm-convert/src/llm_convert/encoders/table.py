"""The types of an encoder's name table, and how its rows are written down.

A row names one tensor in both ecosystems, so either direction is a reading of the same table. It
knows nothing of files; `layout` turns a table and a config.json into the tensors of one model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, NamedTuple, TypeAlias

from llm_convert.errors import ConvertError

Config: TypeAlias = Mapping[str, Any]
Arrangement: TypeAlias = Literal["same", "transposed", "boxed"]


class Row(NamedTuple):
    """One tensor, named in both ecosystems.

    `hub`, `paddle`: full names, with {i} for the layer; `paddle` is empty where PaddleNLP's class
    has no place for it. `shape`: sizes in the hub's files, one letter or number each.
    `arrangement`: what PaddleNLP does to it: transposed ([out, in] to [in, out]), boxed (a scalar
    becomes [1]). `optional`: may be absent, in both ecosystems alike. `tied`: the hub's name of
    the tensor that this one repeats, and which serves where it is absent. PaddleNLP's class then
    has one tensor for both (`paddle` is empty, or `optional`), or needs a copy.
    """

    hub: str
    paddle: str
    shape: tuple[str, ...]
    arrangement: Arrangement = "same"
    optional: bool = False
    tied: str = ""


class When(NamedTuple):
    """Whether a part exists: `field` of config.json is one of `values` (or none of them, `but`)."""

    field: str
    values: tuple[object, ...]
    default: object = None
    but: bool = False

    def holds(self, config: Config) -> bool:
        """Whether a model of this configuration has the part."""
        value = config.get(self.field)
        return ((self.default if value is None else value) in self.values) != self.but


class Part(NamedTuple):
    """Rows that come together: once, or `repeat` times (a letter) with {i} counting up.

    `optional`: in a file all of them, or none. `body`: named under the prefix of the base model.
    """

    rows: tuple[Row, ...]
    repeat: str = ""
    optional: bool = False
    body: bool = True
    when: When | None = None


@dataclass(frozen=True)
class Size:
    """A size out of config.json: a product of fields, each by its first name that is stated.

    `within`: the nested configuration to look in, where there is one. `plus`: added to the product.
    `default`: the value that the original implementation assumes; stated for PaddleNLP, which may
    assume another.
    """

    factors: tuple[tuple[str, ...], ...]
    within: str = ""
    plus: int = 0
    default: int | None = None

    def read(self, config: Config) -> int:
        """The size; ConvertError that names the field if it is neither stated nor assumed."""
        values = [self._value(self.scope(config), names) for names in self.factors]
        return prod(values) + self.plus

    def scope(self, config: Config) -> Config:
        """The part of the configuration that states this size."""
        nested = config.get(self.within) if self.within else None
        return nested if isinstance(nested, Mapping) else config

    def _value(self, config: Config, names: tuple[str, ...]) -> int:
        stated = [config[name] for name in names if config.get(name) is not None]
        value = stated[0] if stated else self.default
        if not isinstance(value, int) or value < 0:
            where = f"{self.within}." if self.within else ""
            message = (
                f"config.json states {where}{names[0]} as {value!r}; a count is needed to know the "
                "shapes of the tensors. Add it, or name another folder."
            )
            raise ConvertError(message)
        return value


@dataclass(frozen=True)
class Labels:
    """How many labels a classifier has: `num_labels`, the entries of `id2label`, or 2."""

    def read(self, config: Config) -> int:
        """The number of labels."""
        for name in ("num_labels", "num_classes"):
            if isinstance(config.get(name), int):
                return int(config[name])
        labels = config.get("id2label")
        return len(labels) if isinstance(labels, Mapping) else 2


@dataclass(frozen=True)
class Patches:
    """Positions of an image: one for each patch and one for the whole."""

    within: str

    def read(self, config: Config) -> int:
        """(image_size // patch_size) squared, plus one."""
        image = Size((("image_size",),), self.within).read(config)
        patch = Size((("patch_size",),), self.within).read(config)
        return (image // patch) ** 2 + 1


AnySize: TypeAlias = Size | Labels | Patches


class Head(NamedTuple):
    """A model class: what PaddleNLP calls it and which parts it has beside the body.

    `parts`: names of `Encoder.heads`. `bare`: the base model itself. `body`: parts of the body that
    it has; all of them when empty. `hub`: the class to state for transformers where it has none of
    this name.
    """

    paddle: str
    parts: tuple[str, ...] = ()
    bare: bool = False
    body: tuple[str, ...] = ()
    hub: str = ""


@dataclass(frozen=True)
class Encoder:
    """One architecture: a row of data from which both directions follow.

    `model_type`: how config.json names it. `hub_prefix`, `paddle_prefix`: before the names of the
    body where it is part of a class with a head. `sizes`: letter -> how to read it. `body`,
    `heads`: its parts by name. `classes`: the hub's class name -> Head. `ignore`: patterns of
    names, of either ecosystem, that are buffers. `fields`: hub's field -> PaddleNLP's field of the
    same meaning, where they differ. `hub_type`: the model_type to state for transformers where it
    has none of this name.
    """

    model_type: str
    hub_prefix: str
    paddle_prefix: str
    sizes: Mapping[str, AnySize]
    body: Mapping[str, Part]
    heads: Mapping[str, Part]
    classes: Mapping[str, Head]
    ignore: tuple[str, ...] = (r"(^|\.)position_ids$",)
    fields: Mapping[str, str] = field(default_factory=dict)
    hub_type: str = ""


def stated(*names: str, within: str = "", plus: int = 0, default: int | None = None) -> Size:
    """A size that one field states, by any of its names."""
    return Size((names,), within, plus, default)


def linear(hub: str, paddle: str, shape: str, *, bias: bool = True) -> tuple[Row, ...]:
    """A linear layer; `shape` is "out in"."""
    weight = tensor(f"{hub}.weight", f"{paddle}.weight", shape, "transposed")
    return (*weight, *tensor(f"{hub}.bias", f"{paddle}.bias", shape.split()[0])) if bias else weight


def norm(hub: str, paddle: str, shape: str) -> tuple[Row, ...]:
    """A layer norm: weight and bias."""
    return tuple(
        row
        for leaf in ("weight", "bias")
        for row in tensor(f"{hub}.{leaf}", f"{paddle}.{leaf}", shape)
    )


def tensor(hub: str, paddle: str, shape: str, arrangement: Arrangement = "same") -> tuple[Row, ...]:
    """A tensor by its full names; `shape` is letters and numbers, empty for a scalar."""
    return (Row(hub, paddle, tuple(shape.split()), arrangement),)


def optional(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Rows that a file may lack one by one."""
    return tuple(row._replace(optional=True) for row in rows)


def tied(rows: tuple[Row, ...], to: str) -> tuple[Row, ...]:
    """Rows for which the tensor `to` (a name of the hub) serves where a file lacks them."""
    return tuple(row._replace(tied=to) for row in rows)


def under(hub: str, paddle: str, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The same rows with stems before their names."""
    return tuple(row._replace(hub=hub + row.hub, paddle=paddle + row.paddle) for row in rows)


def head(*groups: tuple[Row, ...], when: When | None = None) -> Part:
    """The part of a head."""
    return Part(tuple(row for rows in groups for row in rows), body=False, when=when)


def part(*groups: tuple[Row, ...], repeat: str = "", when: When | None = None) -> Part:
    """A part of the body."""
    return Part(tuple(row for rows in groups for row in rows), repeat=repeat, when=when)


def loose(chosen: Part) -> Part:
    """A part that a file may lack as a whole."""
    return chosen._replace(optional=True)


def relettered(chosen: Part, letters: Mapping[str, str]) -> Part:
    """The same part with other letters for its sizes."""
    rows = tuple(
        row._replace(shape=tuple(letters.get(letter, letter) for letter in row.shape))
        for row in chosen.rows
    )
    return chosen._replace(rows=rows, repeat=letters.get(chosen.repeat, chosen.repeat))


def like(encoder: Encoder, **changes: Any) -> Encoder:
    """A table that differs from another in some fields."""
    return replace(encoder, **changes)
