"""Models of AI Studio, through aistudio-sdk and its cache.

The library loads file by file and has no list of a repository's files, so the kinds of weights are
tried in their order of preference, and the files beside them by the names that they may have. It
reads the token from AISTUDIO_ACCESS_TOKEN.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from llm_cli.progress import progress
from llm_convert.errors import ConvertError
from llm_convert.files.folder import INDEX_SUFFIX, WEIGHT_FILES
from llm_convert.hub.reaching import reach
from llm_convert.hub.resolve import HubName
from llm_convert.hub.wanted import shards_of
from llm_convert.saving import COMPANIONS

CONNECT_SECONDS = 4.0
# What the patterns among COMPANIONS stand for: the names that tokenizers of published models have.
_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tokenizer*": ("tokenizer.json", "tokenizer_config.json", "tokenizer.model"),
        "vocab.*": ("vocab.json", "vocab.txt"),
        "*.tiktoken": ("qwen.tiktoken",),
        "*.model": ("ice_text.model", "tiktoken.model", "spm.model"),
        "sentencepiece*": ("sentencepiece.bpe.model", "sentencepiece.model"),
        "spiece*": ("spiece.model",),
    }
)


def companions() -> list[str]:
    """The names of the files beside the weights that are asked for, each once."""
    names = (name for pattern in COMPANIONS for name in _NAMES.get(pattern, (pattern,)))
    return list(dict.fromkeys(names))


def download(name: HubName) -> Path:
    """The cache folder of a model, with all files that it needs. Raises ConvertError."""
    library = _library(name)
    _check_reachable(name)
    config = _get(library, name, "config.json")
    if isinstance(config, str):
        message = (
            f"There is no folder {name} here, and AI Studio gives no config.json for that name "
            f"({config}). Check the name, and set AISTUDIO_ACCESS_TOKEN for a private model."
        )
        raise ConvertError(message)
    with progress(f"download {name.repo}", unit="files") as bar:
        for file in companions():
            bar.advance(isinstance(_get(library, name, file), Path))
        for file in _weights(library, name):
            found = _get(library, name, file)
            if isinstance(found, str):
                message = (
                    f"{file} of {name} could not be loaded from AI Studio ({found}). Run the "
                    "command again: files that are there are kept."
                )
                raise ConvertError(message)
            bar.advance()
    return config.parent


def _library(name: HubName) -> Any:
    try:
        from aistudio_sdk import hub
    except ImportError as error:
        message = (
            f"There is no folder {name} here. To load a model of that name from AI Studio, install "
            'aistudio-sdk: tools/install "llm-convert[aistudio]".'
        )
        raise ConvertError(message) from error
    return hub


def _weights(library: Any, name: HubName) -> list[str]:
    """The preferred weights: one file, or the shards of an index."""
    reasons = ""
    for kind in WEIGHT_FILES:
        index = _get(library, name, kind + INDEX_SUFFIX)
        if isinstance(index, Path):
            return shards_of(index)
        whole = _get(library, name, kind)
        if isinstance(whole, Path):
            return []
        reasons = whole
    message = (
        f"{name} on AI Studio has none of {', '.join(WEIGHT_FILES)} ({reasons}). Name another "
        "model."
    )
    raise ConvertError(message)


def _get(library: Any, name: HubName, file: str) -> Path | str:
    """The file in the cache, or why it could not be loaded."""
    revision = {"revision": name.revision} if name.revision else {}
    try:
        # The library prints to standard output, which belongs to the command's results.
        with contextlib.redirect_stdout(sys.stderr):
            answer = library.download(repo_id=name.repo, filename=file, **revision)
    except OSError as error:
        return " ".join(str(error).split())[:160]
    if "path" in answer:
        return Path(answer["path"])
    return str(answer.get("error_msg") or answer)[:160]


def _check_reachable(name: HubName) -> None:
    """The library waits 30 s for a host that is not there; a person should not."""
    from aistudio_sdk import config

    url = os.environ.get("STUDIO_GIT_HOST") or config.STUDIO_GIT_HOST_DEFAULT
    try:
        reach(url, CONNECT_SECONDS)
    except OSError as error:
        message = (
            f"There is no folder {name} here, and AI Studio ({urlsplit(url).netloc}) does not "
            f"answer ({error}). Check the network and the proxy, or name a folder."
        )
        raise ConvertError(message) from error
