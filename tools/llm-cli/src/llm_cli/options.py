"""Options as documented dataclass fields.

A command's options are one dataclass; the command line, JSON and YAML files and the tables of the
documentation are all derived from its fields::

    @dataclass(kw_only=True)
    class TokenizeOptions:
        \"\"\"Turn text into token ids.\"\"\"

        input_path: list[str] = option(help="Files or globs to read.")
        append_eos: bool = flag(False, help="End every document with the EOS token.")

A class attribute ``POSITIONAL = "input_path"`` lets ``llm data tokenize FILE`` mean that option.

Field types may be ``str``, ``int``, ``float``, ``bool``, ``list`` of those, each ``| None``.
"""

from __future__ import annotations

import copy
import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any

_MISSING = dataclasses.MISSING


@dataclass(frozen=True)
class OptionSpec:
    """What the frame knows of one option."""

    name: str
    type: type
    many: bool
    optional: bool
    required: bool
    default: Any
    help: str
    group: str
    choices: tuple[str, ...]
    aliases: tuple[str, ...]
    hidden: bool
    bare: str | None


def option(
    default: Any = _MISSING,
    *,
    help: str,
    group: str = "Options",
    choices: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    hidden: bool = False,
    bare: str | None = None,
) -> Any:
    """A field of an options dataclass; without ``default`` the option is required.

    ``group`` is the panel it is shown in, ``aliases`` are further names that mean the same.
    ``bare`` is the value of ``--name`` without one; by default a value must follow.
    """
    metadata = {
        "option": {
            "help": help,
            "group": group,
            "choices": choices,
            "aliases": aliases,
            "hidden": hidden,
            "bare": bare,
        }
    }
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def flag(
    default: bool = False,
    *,
    help: str,
    group: str = "Options",
    aliases: tuple[str, ...] = (),
    hidden: bool = False,
) -> Any:
    """A yes/no field: ``--name``, ``--name true`` and ``--name false`` all work."""
    return option(default, help=help, group=group, aliases=aliases, hidden=hidden, bare="true")


def option_specs(options: type[Any]) -> list[OptionSpec]:
    """The options of a dataclass, in the order of its fields.

    Raises :class:`TypeError` when a field has a type that no command line can carry.
    """
    hints = typing.get_type_hints(options)
    return [
        _spec(field, hints[field.name])
        for field in dataclasses.fields(options)
        if field.init and "option" in field.metadata
    ]


def _spec(field: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        optional = len(arms) < len(typing.get_args(hint))
        hint = arms[0] if len(arms) == 1 else str
    many = typing.get_origin(hint) in (list, tuple)
    if many:
        hint = typing.get_args(hint)[0]
    if hint not in (str, int, float, bool):
        message = f"option {field.name!r} is a {hint!r}; use str, int, float, bool or a list"
        raise TypeError(message)
    factory: Any = field.default_factory
    default = field.default if factory is _MISSING else factory()
    required = default is _MISSING
    return OptionSpec(
        name=field.name,
        type=hint,
        many=many,
        optional=optional,
        required=required,
        default=None if required else default,
        **field.metadata["option"],
    )
