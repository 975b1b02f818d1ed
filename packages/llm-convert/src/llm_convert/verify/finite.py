"""Numbers of a model that are not finite: are its files damaged?

The hashes of a folder are checked only after such numbers; nobody waits for them otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llm_cli.outputs import COMPLETE, verify_complete
from llm_convert.errors import ConvertError


def check_finite(numbers: np.ndarray, path: Path, what: str = "logits") -> None:
    """Refuse numbers of the model at `path` with an infinity or NaN among them.

    Raises ConvertError, which calls them `what`.
    """
    if not np.isfinite(numbers).all():
        message = f"The {what} of {path} itself are not finite{_cause(path)} Nothing was written."
        raise ConvertError(message)


def _cause(path: Path) -> str:
    if not (path / COMPLETE).is_file():
        return (
            f": its files may be damaged, and it has no {COMPLETE} marker to check them against. "
            "Copy or download the model again."
        )
    changed = verify_complete(path)
    if not changed:
        return (
            f", and its files are those that its {COMPLETE} marker lists: it was written like "
            "this. Make it again from what it was made from."
        )
    return (
        f": its files are damaged. The SHA-256 of {', '.join(changed)} differs from the one in "
        f"{COMPLETE}. Copy or make the model again."
    )
