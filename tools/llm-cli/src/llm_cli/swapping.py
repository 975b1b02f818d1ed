"""A folder takes the place of another one, which goes only after that."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from llm_cli.claims import claimed
from llm_cli.errors import UserError
from llm_cli.exchange import exchanged
from llm_cli.leftovers import beside, remove, took


def swap(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Put ``temporary`` in the place of ``path``; the old folder goes only after that.

    Raises :class:`UserError` where the place was empty and is no longer, and was not to be
    overwritten.
    """
    if took(temporary, path):
        return
    if not overwrite:
        message = (
            f"Another run has written the output {path} meanwhile; it stays, and nothing of this "
            "run does. Choose another output, or give the option that overwrites."
        )
        raise UserError(message)
    # Under a temporary name the old folder would be taken for what a killed writer left.
    claim = claimed(path)
    try:
        if exchanged(temporary, path):
            old = temporary
        else:
            old = beside(path)
            path.rename(old)
            try:
                temporary.rename(path)
            except BaseException:
                old.rename(path)
                raise
        with suppress(FileNotFoundError):
            remove(old)
    finally:
        if claim is not None:
            os.close(claim)
