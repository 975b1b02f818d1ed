"""Copies the files that make up a tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from llm_data.errors import TokenizerError
from llm_data.tokenizer.special_tokens import CONFIG_FILES


def copy_tokenizer_files(source: Path, folder: str | Path, names: Iterable[str]) -> None:
    """Copy `names` and the config files that exist beside them from `source` into `folder`."""
    target = Path(folder)
    if not target.is_dir():
        message = f"Cannot save the tokenizer: folder {target} does not exist. Create it first."
        raise TokenizerError(message)
    for name in (*names, *CONFIG_FILES):
        if (source / name).is_file() and (source / name).resolve() != (target / name).resolve():
            shutil.copyfile(source / name, target / name)
