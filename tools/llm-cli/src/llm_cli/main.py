"""The command ``llm``: finds the commands of the installed packages and speaks for them.

Packages announce a :class:`llm_cli.command.Command` or ``Group`` as an entry point of the group
``llm_toolchain.commands``. This module knows none of them.
"""

from __future__ import annotations

import os
import sys
from functools import cache

import click

from llm_cli.command import Command, Group
from llm_cli.discovery import Announcement, announced
from llm_cli.errors import sentence
from llm_cli.tree import LazyGroup, to_click
from llm_cli.values import nearest


class Root(LazyGroup):
    """The group ``llm``, over whatever packages are installed."""

    def __init__(self) -> None:
        text = "The toolchain for the whole life of a large language model on PaddlePaddle."
        super().__init__("llm", text, {}, None)
        self.params.append(_version_option())

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands of the packages that are installed."""
        return sorted(_announced())

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Load one package's description."""
        for name, point in _announced().items():
            if name.replace("-", "_") == cmd_name.replace("-", "_"):
                return _load(point)
        return None

    def missing(self, word: str) -> str:
        """What to say of a word that is no command: its package may not be installed."""
        hint = nearest(word, self.list_commands(click.Context(self)))
        return (
            f"There is no command {word!r} here. {hint} Commands come with their packages; "
            "`tools/install llm-train` brings `llm train`, and so on."
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    unwind_on_sigterm()
    sys.exit(run(arguments))


def unwind_on_sigterm() -> None:
    """Let SIGTERM, which batch systems and containers stop a command by, clear up what was begun.

    The command ends with 143, as a shell says it. Commands that do more replace the handler.
    """
    import signal

    process = os.getpid()

    def unwind(number: int, _: object) -> None:
        if os.getpid() != process:  # a forked worker has nothing to clear up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        sys.exit(128 + number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, unwind)


def run(arguments: list[str]) -> int:
    """Run the command line; the exit code. Errors become a sentence on standard error.

    0: done; 1: the command's own verdict, or a mistake of ours; 2: a mistake the user can mend;
    130: interrupted. SIGTERM raises SystemExit with 143.
    """
    debug = "--debug" in arguments
    try:
        result = Root().main(arguments, prog_name="llm", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        path = (
            error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "llm"
        )
        return _complain(path, error.format_message() + f" See `{path} --help`.", error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _complain("llm", "Interrupted.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _failed(error, debug=debug)
    return result if isinstance(result, int) else 0


def _failed(error: Exception, *, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    told = sentence(error)
    if told is not None:
        return _complain("llm", told, getattr(error, "exit_code", 2))
    if not debug:
        text = f"{type(error).__name__}: {error}".rstrip(".: ")
        told = (
            f"{text}. This is a mistake of ours; run it again with "
            "--debug and report what it prints."
        )
        return _complain("llm", told, 1)
    return 1


def _complain(who: str, text: str, code: int) -> int:
    sys.stderr.write(f"{who}: {text}\n")
    return code


@cache
def _announced() -> dict[str, Announcement]:
    return {point.name: point for point in announced()}


def _load(point: Announcement) -> click.Command:
    try:
        description = point.load()
        if not isinstance(description, Command | Group):
            message = f"it is a {type(description).__name__}, not a Command or Group"
            raise TypeError(message)
    except Exception as error:
        return _broken(point, error)
    command = to_click(description)
    command.name = point.name
    return command


def _broken(point: Announcement, error: Exception) -> click.Command:
    """A command that says why its package cannot be loaded, so that the others still work."""
    reason = f"{point.value} cannot be loaded ({type(error).__name__}: {error})"

    def refuse() -> None:
        message = f"{reason}. Install its package again."
        raise click.ClickException(message) from error

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        point.name, callback=refuse, help=f"Broken: {reason}", context_settings=settings
    )


def _version_option() -> click.Option:
    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if not wanted:
            return
        from llm_cli.lineage import installed_packages

        for name, version in installed_packages().items():
            click.echo(f"{name} {version}")
        context.exit()

    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the version of every installed package.",
    )
