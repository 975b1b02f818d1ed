"""From what the user names to a folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})(?:@([\w.-]+(?:/[\w.-]+)*))?")


class HubName(NamedTuple):
    """A model on a hub; `revision` is a branch, a tag or a commit, None for the default branch."""

    repo: str
    revision: str | None

    def __str__(self) -> str:
        return self.repo + (f"@{self.revision}" if self.revision else "")


def resolve_model(path: str | Path, *, from_aistudio: bool = False) -> str:
    """The folder of a model: `path` itself, or the cache folder that a hub name was loaded into.

    What exists here is used as it is, and so is a path that cannot be a hub name: its absence is
    for the reader to tell.

    Args:
        path: a folder or file, or `org/name[@revision]`.
        from_aistudio: load from AI Studio instead of Hugging Face's hub.

    Raises:
        ConvertError: the hub cannot be reached, has no such model or revision or does not show it,
            or the optional library is not installed; offline: what the cache lacks.
    """
    name = hub_name(str(path))
    if name is None or Path(path).exists():
        return str(path)
    if from_aistudio:
        from llm_convert.hub.aistudio import download
    else:
        from llm_convert.hub.hugging_face import download
    return str(download(name))


def hub_name(path: str) -> HubName | None:
    """`path` as a hub name; None where it cannot be one.

    A path into a folder that is here is a path, even where its last part is missing.
    """
    match = _NAME.fullmatch(path)
    if match is None or Path(path).parent.is_dir():
        return None
    return HubName(match[1], match[2])
