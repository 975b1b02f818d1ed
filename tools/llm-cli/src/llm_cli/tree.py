"""From descriptions (:mod:`llm_cli.command`) to click commands, loaded when they are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from click.core import ParameterSource

from llm_cli.command import Command, Group
from llm_cli.discovery import announced
from llm_cli.help_page import PanelOption, help_page
from llm_cli.options import OptionSpec, option_specs
from llm_cli.values import build_options, nearest, read_config

HELP = ["--help", "-h"]
CONTEXT: dict[str, Any] = {
    "token_normalize_func": lambda token: token.replace("-", "_"),
    "help_option_names": HELP,
    # Pages find their width themselves; click would import shutil for it.
    "terminal_width": 80,
}
_CONFIG = "config"
CONFIG_ENDINGS = (".json", ".yaml", ".yml")
POSITIONAL = "POSITIONAL"
"""Class attribute of an options dataclass: the option that a word which is no config file means."""
_METAVARS = {str: "TEXT", int: "INTEGER", float: "NUMBER", bool: "[true|false]"}


class OptionsCommand(click.Command):
    """A command whose parameters are the fields of its options dataclass, read when needed."""

    def __init__(self, description: Command) -> None:
        super().__init__(
            name=description.name,
            callback=self._call,
            help=description.help,
            context_settings=CONTEXT,
        )
        self._description = description
        self._specs: list[OptionSpec] | None = None

    @property
    def specs(self) -> list[OptionSpec]:
        """The options of this command; reading them imports its options module."""
        if self._specs is None:
            options = self._description.load_options()
            self._specs = option_specs(options)
            self.help = (options.__doc__ or self._description.help).strip()
            other = f"|{options.POSITIONAL.upper()}" if hasattr(options, POSITIONAL) else ""
            self.params = [
                click.Argument([_CONFIG], required=False, metavar=f"[CONFIG.json|.yaml{other}]"),
                *(_parameter(spec) for spec in self._specs),
                _debug_option(),
            ]
        return self._specs

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters, loaded now."""
        assert self.specs is not None
        return super().get_params(ctx)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, text and the options, in their panels."""
        assert self.specs is not None  # reads the text too
        formatter.write(help_page(ctx, self))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a list option takes every value up to the next option."""
        lists = {name for spec in self.specs if spec.many for name in (spec.name, *spec.aliases)}
        with _named(ctx):
            return super().parse_args(ctx, list(_one_value_each(args, lists)))

    def _call(self, **parsed: Any) -> int | None:
        from llm_cli.console import set_up_logging

        context = click.get_current_context()
        set_up_logging(_packages(), debug=bool(parsed.pop("debug", False)))
        path = parsed.pop(_CONFIG)
        options = self._description.load_options()
        given = {
            name: _unpacked(value)
            for name, value in parsed.items()
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        }
        name = getattr(options, POSITIONAL, None)
        if name and path and not path.endswith(CONFIG_ENDINGS):
            given, path = {name: path, **given}, None
        values = read_config(path) if path else {}
        return self._description.load_run()(build_options(options, values, given, str(path)))


class LazyGroup(click.Group):
    """A group over descriptions; a word that is no command goes to the default command."""

    def __init__(
        self, name: str, help: str, commands: Mapping[str, click.Command], default: str | None
    ) -> None:
        super().__init__(
            name=name, help=help, context_settings=CONTEXT, no_args_is_help=default is None
        )
        self.commands = dict(commands)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; put the default command's name in front where none is given."""
        asks_help = bool(args) and args[0] in HELP
        if self._default and not asks_help and (not args or not self._knows(ctx, args[0])):
            args = [self._default, *args]
        with _named(ctx):
            return super().parse_args(ctx, args)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command of that name, with ``-`` and ``_`` alike."""
        wanted = cmd_name.replace("-", "_")
        for name, command in self.commands.items():
            if name.replace("-", "_") == wanted:
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one."""
        if not self._knows(ctx, args[0]) and not args[0].startswith("-"):
            raise click.UsageError(self.missing(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def missing(self, word: str) -> str:
        """What to say of a word that is no command."""
        return f"There is no command {word!r} here. {nearest(word, self.commands)}"

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, then the options of the default command."""
        formatter.write(help_page(ctx, self))
        default = self.commands.get(self._default or "")
        if default is not None:
            with click.Context(default, info_name=f"[{default.name}]", parent=ctx) as inner:
                default.format_help(inner, formatter)

    def _knows(self, ctx: click.Context, word: str) -> bool:
        return self.get_command(ctx, word) is not None


@contextmanager
def _named(ctx: click.Context) -> Iterator[None]:
    """Say in click's errors which command's they are; its parser's own do not."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


def to_click(description: Command | Group) -> click.Command:
    """The click command of a description; nothing of the package is imported for it."""
    if isinstance(description, Command):
        return OptionsCommand(description)
    commands = {command.name: OptionsCommand(command) for command in description.commands}
    return LazyGroup(description.name, description.help, commands, description.default)


def _packages() -> list[str]:
    """Import names of the packages that announce commands."""
    return [point.module.split(".")[0] for point in announced()]


def _parameter(spec: OptionSpec) -> click.Option:
    """Values arrive as text and are converted in one place, as those of a config file are."""
    metavar = "[" + "|".join(spec.choices) + "]" if spec.choices else _METAVARS[spec.type]
    extra: dict[str, Any] = {}
    if not spec.required and spec.default not in (None, "", []):
        extra = {"default": _shown(spec.default), "show_default": True}
    if spec.bare is not None and not spec.many:
        extra |= {"is_flag": False, "flag_value": spec.bare}
    return PanelOption(
        [f"--{name}" for name in (spec.name, *spec.aliases)] + [spec.name],
        type=click.STRING,
        multiple=spec.many,
        metavar=metavar + (" ..." if spec.many else ""),
        help=spec.help + ("  [required]" if spec.required else ""),
        hidden=spec.hidden,
        panel=spec.group,
        **extra,
    )


def _debug_option() -> click.Option:
    return PanelOption(
        ["--debug"], is_flag=True, help="Show the traceback of errors and debug records."
    )


def _shown(default: Any) -> Any:
    if isinstance(default, list):
        return [str(item) for item in default]
    return str(default).lower() if isinstance(default, bool) else str(default)


def _unpacked(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _one_value_each(args: list[str], lists: set[str]) -> Iterator[str]:
    """``--x a b`` as ``--x a --x b`` for list options, as argparse's ``nargs="+"`` reads it."""
    option, taken = "", 0
    for argument in args:
        if argument.startswith("--"):
            name = argument[2:].replace("-", "_")
            option, taken = (argument, 0) if name in lists else ("", 0)
        elif option:
            if taken:
                yield option
            taken += 1
        yield argument
