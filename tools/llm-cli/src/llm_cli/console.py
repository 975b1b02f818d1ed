"""What commands say on standard output, and how log records look on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console


class _Console:
    """rich's console, made when the first thing is said: its import would delay every command."""

    @cached_property
    def _made(self) -> Console:
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


console = cast("Console", _Console())
"""Standard output. Results go here; progress and diagnostics go to standard error."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers align to the right."""
    from rich.table import Table

    grid = Table(title=title, title_justify="left", title_style="bold")
    body = [[_cell(value) for value in row] for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(body) and all(_is_number(row[index]) for row in body)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        grid.add_row(*row)
    console.print(grid)


def set_up_logging(packages: Iterable[str], *, debug: bool) -> None:
    """Records of ``packages`` from INFO on (DEBUG with ``--debug``), others' from WARNING on.

    Each package's logger gets a level of its own: some libraries set the root's when imported.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for package in packages:
        logging.getLogger(package).setLevel(logging.DEBUG if debug else logging.INFO)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "+-0123456789" and text[-1] in "0123456789%"
