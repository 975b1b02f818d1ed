"""How a package describes its commands: plain data, nothing imported until a command runs.

A package's ``cli.py`` builds one :class:`Command` or :class:`Group` and names it as the entry
point ``llm_toolchain.commands``. ``options`` and ``run`` are ``"module:name"`` strings, so that
``llm --help`` imports neither them nor what they need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command: a dataclass of options and the function that takes it.

    ``run`` returns ``None``, or an exit code when the command's verdict is one (0 passed, 1 not).
    """

    name: str
    options: str
    run: str
    help: str

    def load_options(self) -> type[Any]:
        """The dataclass that :attr:`options` names."""
        loaded: type[Any] = _load(self.options)
        return loaded

    def load_run(self) -> Callable[[Any], int | None]:
        """The function that :attr:`run` names."""
        loaded: Callable[[Any], int | None] = _load(self.run)
        return loaded


@dataclass(frozen=True)
class Group:
    """Several commands under one word; ``default`` runs when the next word names none of them."""

    name: str
    help: str
    commands: tuple[Command, ...]
    default: str | None = None


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
