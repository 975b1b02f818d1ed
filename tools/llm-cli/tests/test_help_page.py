"""Help pages: panels, columns, widths, styles."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import dataclass

import click
import pytest

from llm_cli.command import Command, Group
from llm_cli.options import flag, option
from llm_cli.tree import to_click

CODES = re.compile(r"\033\[[\d;]*m")


@dataclass(kw_only=True)
class Options:
    """Read text.

    A second paragraph that is so long that it takes more than one line of the page that is drawn.
    """

    input_path: list[str] = option(help="Files to read.", group="Input")
    kind: str = option("a", help="What it is.", choices=("a", "b"), aliases=("sort", "nature"))
    secret: str = option("", help="Not shown.", hidden=True)
    fast: bool = flag(help="Hurry.", group="Input")


READ = Command("read", f"{__name__}:Options", f"{__name__}:Options", "Read text from files.")
PAGE = """
 Usage: text read [OPTIONS] [CONFIG.json|.yaml]

 Read text.

 A second paragraph that is so long that it takes more than
 one line of the page that is drawn.

╭─ Input ──────────────────────────────────────────────────╮
│ --input_path  TEXT ...      Files to read. [required]    │
│ --fast        [true|false]  Hurry. [default: false]      │
╰──────────────────────────────────────────────────────────╯
╭─ Options ────────────────────────────────────────────────╮
│ --kind,--sort,--nature      [a|b]  What it is.           │
│                                    [default: a]          │
│ --debug                            Show the traceback of │
│                                    errors and debug      │
│                                    records.              │
│ --help                  -h         Show this message and │
│                                    exit.                 │
╰──────────────────────────────────────────────────────────╯
"""
GROUP_PAGE = """
 Usage: text [OPTIONS] COMMAND [ARGS]...

 Work with text.

╭─ Options ────────────────────────────────────────────────╮
│ --help  -h  Show this message and exit.                  │
╰──────────────────────────────────────────────────────────╯
╭─ Commands ───────────────────────────────────────────────╮
│ read  Read text from files.                              │
╰──────────────────────────────────────────────────────────╯
"""


def drawn(*words: str, default: str | None = None) -> str:
    sys.modules.setdefault(__name__, sys.modules[Options.__module__])
    command: click.Command = to_click(Group("text", "Work with text.", (READ,), default))
    ctx = command.make_context("text", ["read"])
    for word in words:
        assert isinstance(command, click.Group)
        inner = command.get_command(ctx, word)
        assert inner is not None
        command, ctx = inner, click.Context(inner, info_name=word, parent=ctx)
    return command.get_help(ctx) + "\n"


@pytest.fixture(autouse=True)
def _sixty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_command() -> None:
    assert CODES.sub("", drawn("read")) == PAGE


def test_a_group() -> None:
    assert CODES.sub("", drawn()) == GROUP_PAGE


def test_a_group_with_a_default_shows_that_command_too() -> None:
    page = CODES.sub("", drawn(default="read"))
    assert page.startswith(GROUP_PAGE)
    assert " Usage: text [read] [OPTIONS]" in page


@pytest.mark.parametrize("width", [1, 40, 47, 200])
def test_every_line_of_a_box_is_as_wide_as_the_page(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    boxes = [line for line in CODES.sub("", drawn("read")).split("\n") if line[:1] in "╭│╰"]
    assert {len(line) for line in boxes if line} == {max(width, 40)}


def test_names_keep_whole_where_a_column_is_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = [line.split()[1] for line in CODES.sub("", drawn("read")).split("\n") if "--" in line]
    assert lines[2:5] == ["--kind,", "--sort,", "--nature"]


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_styles_can_be_refused(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CODES.search(drawn("read"))
    monkeypatch.setenv(variable, value)
    assert not CODES.search(drawn("read"))


def test_an_output_that_knows_ascii_only_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    page = drawn("read")
    assert page.isascii()
    assert "+- " in CODES.sub("", page)
