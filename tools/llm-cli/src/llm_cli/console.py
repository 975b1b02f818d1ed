"""What commands say on standard output, and how log records look on standard error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, soft_wrap=True)
"""Standard output. Results go here; progress and diagnostics go to standard error."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers align to the right."""
    grid = Table(title=title, title_justify="left", title_style="bold")
    body = [[_cell(value) for value in row] for row in rows]
    for index, name in enumerate(columns):
        numeric = bool(body) and all(_is_number(row[index]) for row in body)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in body:
        grid.add_row(*row)
    console.print(grid)


def set_up_logging(*, debug: bool) -> None:
    """Our records from INFO on (DEBUG with ``--debug``), other libraries' from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
    handler.addFilter(_ours_or_warning)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])


def _ours_or_warning(record: logging.LogRecord) -> bool:
    return record.name.startswith("llm_") or record.levelno >= logging.WARNING


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "+-0123456789" and text[-1] in "0123456789%"
