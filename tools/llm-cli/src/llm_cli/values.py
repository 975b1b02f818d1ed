"""From what a file or a command line holds to the dataclass of a command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llm_cli.errors import UserError
from llm_cli.options import OptionSpec, option_specs

if TYPE_CHECKING:
    from pathlib import Path

_TRUE = {"true", "1", "yes", "on", "t", "y"}
_FALSE = {"false", "0", "no", "off", "f", "n"}


def read_config(path: str | Path) -> dict[str, Any]:
    """The keys of a JSON or YAML file. Raises :class:`UserError` naming file, line and cause."""
    import json
    from pathlib import Path

    path = Path(path)
    if path.is_dir():
        message = f"The config file {path} is a folder; name a JSON or YAML file, or use options."
        raise UserError(message)
    if not path.is_file():
        message = (
            f"There is no config file {path}. Give a JSON or YAML file, or options such as --name."
        )
        raise UserError(message)
    text = path.read_text(encoding="utf-8")
    try:
        loaded = _parse_yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except ValueError as error:
        message = f"The config file {path} cannot be read: {error}."
        raise UserError(message) from error
    if not isinstance(loaded, dict):
        message = f"The config file {path} holds a {type(loaded).__name__}; it must hold an object."
        raise UserError(message)
    return loaded


def build_options(
    options: type[Any], file_values: Mapping[str, Any], line_values: Mapping[str, Any], source: str
) -> Any:
    """The filled dataclass; ``line_values`` override ``file_values``, which came from ``source``.

    Raises :class:`UserError` for an unknown key (naming the nearest known one), a value of the
    wrong type, a choice that does not exist, and options that are required and absent.
    """
    specs = {spec.name: spec for spec in option_specs(options)}
    names = {alias: spec.name for spec in specs.values() for alias in (spec.name, *spec.aliases)}
    values: dict[str, Any] = {}
    for key, value in file_values.items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            message = f"Unknown key {key!r} in {source}. {nearest(key, names)}"
            raise UserError(message)
        values[name] = convert(specs[name], value, f"{key!r} in {source}")
    for name, value in line_values.items():
        values[name] = convert(specs[name], value, f"--{name}")
    absent = [name for name, spec in specs.items() if spec.required and name not in values]
    if absent:
        listed = ", ".join(f"--{name}" for name in absent)
        message = f"Missing {listed}. Give it on the command line or in a config file; see --help."
        raise UserError(message)
    return options(**values)


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence that names what the user may have meant."""
    known = sorted(known)
    close = _close(word.replace("-", "_"), known)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def _close(word: str, known: Sequence[str]) -> list[str]:
    # Imported late: most command lines hold no mistake.
    from difflib import get_close_matches

    return get_close_matches(word, known, n=1, cutoff=0.5)


def convert(spec: OptionSpec, value: Any, where: str) -> Any:
    """``value`` in the type of its option; ``where`` names it in the error."""
    if value is None or (spec.optional and value == "None"):
        if spec.optional or spec.default is None:
            return None
        message = f"{where} is empty; it needs a {spec.type.__name__}."
        raise UserError(message)
    if spec.many:
        items = value if isinstance(value, list | tuple) else [value]
        return [_one(spec, item, where) for item in items]
    return _one(spec, value, where)


def _one(spec: OptionSpec, value: Any, where: str) -> Any:
    converted = _as_type(spec.type, value)
    if converted is None:
        message = f"{where} is {value!r}; it must be {_TYPE_WORDS[spec.type]}."
        raise UserError(message)
    if spec.choices and converted not in spec.choices:
        close = _close(str(converted), spec.choices)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        message = f"{where} is {value!r}; choose one of {', '.join(spec.choices)}.{hint}"
        raise UserError(message)
    return converted


_TYPE_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _as_type(kind: type, value: Any) -> Any:
    """``value`` as ``kind``, or ``None``. YAML reads ``3e-5`` as text, JSON ``1e3`` as a float."""
    if kind is str:
        return None if isinstance(value, dict) else str(value)
    if kind is bool:
        return _as_bool(value)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        if kind is int:
            whole = int(value) if isinstance(value, int | str) else int(number)
            return whole if whole == number else None
    except (ValueError, OverflowError):
        return None
    return number


def _as_bool(value: Any) -> bool | None:
    word = str(value).lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
