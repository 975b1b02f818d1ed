"""The help page of a command: usage, text, and panels of options and commands.

Drawn by hand, because importing rich takes as long as all the rest of ``llm --help``. Styles are
written as escape codes; click takes them out again where standard output is no terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click

OPTIONS_PANEL = "Options"
_ROUND, _ASCII = tuple("╭─╮│╰╯"), tuple("+-+|++")
_BOLD, _DIM, _USAGE, _NAME, _SHORT, _METAVAR = "1", "2", "33", "1;36", "1;32", "1;33"
_LEAST_WIDTH, _USUAL_WIDTH = 40, 80


class PanelOption(click.Option):
    """An option that is shown in the panel of this name."""

    def __init__(self, names: list[str], *, panel: str = OPTIONS_PANEL, **settings: object) -> None:
        super().__init__(names, **settings)  # type: ignore[arg-type]
        self.panel = panel


@dataclass(frozen=True)
class Cell:
    """Words with a style each; a line may end between two of them."""

    words: tuple[tuple[str, str], ...] = ()
    glue: str = ""

    @property
    def width(self) -> int:
        """Characters on one line."""
        return len(self.glue.join(word for word, _ in self.words))

    @property
    def least(self) -> int:
        """Characters of the longest word."""
        return max((len(word) for word, _ in self.words), default=0)

    def lines(self, width: int) -> Iterator[str]:
        """Lines of ``width`` characters, filled with blanks; a longer word is cut."""
        line, taken = "", 0
        for word, style in self._pieces(width):
            glue = self.glue if taken else ""
            if taken and taken + len(glue) + len(word) > width:
                yield line + " " * (width - taken)
                line, taken, glue = "", 0, ""
            line += glue + _styled(word, style)
            taken += len(glue) + len(word)
        yield line + " " * (width - taken)

    def _pieces(self, width: int) -> Iterator[tuple[str, str]]:
        for word, style in self.words:
            for start in range(0, len(word), width):
                yield word[start : start + width], style


def help_page(ctx: click.Context, command: click.Command) -> str:
    """The page of ``command`` in the width of the terminal, 80 characters where there is none."""
    width = max(_terminal_width(), _LEAST_WIDTH)
    lines = ["", *_indented(_usage(ctx, command), width), ""]
    for paragraph in (command.help or "").split("\n\n"):
        lines += [*_indented(_text(paragraph), width), ""]
    for title, rows in _panels(ctx, command).items():
        lines += _panel(title, rows, width)
    return "\n".join(lines) + "\n"


def _terminal_width() -> int:
    """As ``shutil.get_terminal_size`` finds it, without the compressors that shutil imports."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isdecimal() and int(stated):
        return int(stated)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_WIDTH
    except (AttributeError, ValueError, OSError):
        return _USUAL_WIDTH


def _usage(ctx: click.Context, command: click.Command) -> Cell:
    path = [(word, _BOLD) for word in ctx.command_path.split()]
    pieces = [(word, _NAME) for word in command.collect_usage_pieces(ctx)]
    return Cell((("Usage:", _USAGE), *path, *pieces), " ")


def _text(text: str, *dim: str) -> Cell:
    words = [(word, "") for word in text.split()]
    return Cell((*words, *((word, _DIM) for word in dim)), " ")


def _panels(ctx: click.Context, command: click.Command) -> dict[str, list[list[Cell]]]:
    panels: dict[str, list[list[Cell]]] = {}
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            panel = getattr(parameter, "panel", OPTIONS_PANEL)
            panels.setdefault(panel, []).append(_option_row(parameter, ctx))
    # What every command has comes last.
    panels[OPTIONS_PANEL] = panels.pop(OPTIONS_PANEL, [])
    if isinstance(command, click.Group):
        found = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
        panels["Commands"] = [
            [Cell(((name, _NAME),)), _text((inner.help or "").split("\n\n")[0])]
            for name, inner in found
            if inner is not None and not inner.hidden
        ]
    return {title: rows for title, rows in panels.items() if rows}


def _option_row(option: click.Option, ctx: click.Context) -> list[Cell]:
    long = [name for name in option.opts if name.startswith("--")]
    short = [name for name in option.opts if not name.startswith("--")]
    metavar = "" if option.is_flag else option.make_metavar(ctx)
    # One word, so that no line ends inside it.
    default = [f"[default: {_listed(option.default)}]"] if option.show_default else []
    return [
        _pieces(long, ",", _NAME),
        _pieces(short, ",", _SHORT),
        _pieces(metavar.split("|"), "|", _METAVAR),
        _text(option.help or "", *default),
    ]


def _pieces(words: list[str], mark: str, style: str) -> Cell:
    """Words joined by ``mark``; a line may end behind it."""
    marked = [*(word + mark for word in words[:-1]), *words[-1:]]
    return Cell(tuple((word, style) for word in marked))


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _panel(title: str, rows: list[list[Cell]], width: int) -> Iterator[str]:
    """A box of ``width`` characters around a table whose last column takes the room left."""
    left, line, right, side, low_left, low_right = _box()
    widths = _widths(rows, width - 4)
    bar = _styled(side, _DIM)
    head = f"{left}{line} {title} "
    yield _styled(head + line * (width - 1 - len(head)) + right, _DIM)
    for row in rows:
        columns = [list(cell.lines(size)) for cell, size in zip(row, widths, strict=True) if size]
        used = [size for size in widths if size]
        for index in range(max(map(len, columns))):
            cells = (
                lines[index] if index < len(lines) else " " * size
                for lines, size in zip(columns, used, strict=True)
            )
            yield f"{bar} {'  '.join(cells)} {bar}"
    yield _styled(low_left + line * (width - 2) + low_right, _DIM)


def _widths(rows: list[list[Cell]], inner: int) -> list[int]:
    """Width of every column; the first ones give way until a third is left for the last."""
    columns = list(zip(*rows, strict=True))[:-1]
    widths = [max(cell.width for cell in column) for column in columns]
    least = [max(cell.least for cell in column) for column in columns]
    gaps = 2 * sum(width > 0 for width in widths)
    while inner - sum(widths) - gaps < inner // 3:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        if max(spare) == 0:
            break
        widths[spare.index(max(spare))] -= 1
    return [*widths, max(inner - sum(widths) - gaps, 1)]


def _indented(cell: Cell, width: int) -> Iterable[str]:
    return (f" {line}".rstrip() for line in cell.lines(width - 2))


def _box() -> tuple[str, ...]:
    try:
        "".join(_ROUND).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return _ASCII
    return _ROUND


def _styled(text: str, style: str) -> str:
    if not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{style}m{text}\033[0m"
