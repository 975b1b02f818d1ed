"""Models of Hugging Face's hub, through huggingface_hub and its cache.

HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME, HF_TOKEN and a stored login are respected. A download that
broke off goes on where it stopped. The first answer of the hub must come within `ANSWER_SECONDS`
(HF_HUB_ETAG_TIMEOUT allows more); without one, a model that is in the cache is used.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from llm_cli.outputs import written_file
from llm_cli.progress import Progress, progress
from llm_convert.errors import ConvertError
from llm_convert.files.folder import INDEX_SUFFIX
from llm_convert.hub.resolve import HubName
from llm_convert.hub.resuming import announced, bring, check_mark
from llm_convert.hub.waiting import within
from llm_convert.hub.wanted import CONFIGS, missing_files, shards_of, small_files, weight_file

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 4.0
_LOOK_SECONDS = 0.5


def download(name: HubName) -> Path:
    """The cache folder of a model, with all files that it needs. Raises ConvertError."""
    _check_installed(name)
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _from_cache(name, "HF_HUB_OFFLINE is set", "Unset it to download the model")
    try:
        info = _ask(name)
    except _failures() as error:
        refusal = _refusal(name, error)
        if refusal is not None:
            raise ConvertError(refusal) from error
        why = f"The hub {_endpoint()} does not answer ({_cause(error)})"
        folder = _from_cache(name, why, "Check the network and HF_ENDPOINT")
        logger.warning("%s. Using %s from the cache.", why, folder)
        return folder
    return _fetch(name, info)


def _check_installed(name: HubName) -> None:
    if importlib.util.find_spec("huggingface_hub") is None:
        message = (
            f"There is no folder {name} here. To load a model of that name from the hub, install "
            'huggingface_hub: tools/install "llm-convert[hub]".'
        )
        raise ConvertError(message)


def _endpoint() -> str:
    from huggingface_hub import constants

    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or constants.ENDPOINT


def _failures() -> tuple[type[Exception], ...]:
    """What the library raises without network: OSError, or the errors of its HTTP library.

    Which that is (requests, httpx, httpx2) changed with its versions, and only the errors of the
    first are OSErrors; the library's own error derives from the right one.
    """
    from huggingface_hub import errors

    return (OSError, *errors.HfHubHTTPError.__bases__)


def _ask(name: HubName) -> ModelInfo:
    """What files the hub has; `_failures` where it refuses or does not answer in time."""
    from huggingface_hub import HfApi

    seconds = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or ANSWER_SECONDS)
    api = HfApi(endpoint=_endpoint())
    # Looking up a host's address has no time limit of its own, so the whole question gets one.
    return within(
        seconds,
        lambda: api.model_info(
            name.repo, revision=name.revision, timeout=seconds, files_metadata=True
        ),
    )


def _refusal(name: HubName, error: Exception) -> str | None:
    """What to tell the user where the hub did answer; None where it cannot be reached."""
    from huggingface_hub import errors

    where = f"The hub {_endpoint()}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{where} shows {name.repo} only to those who accepted its terms. Accept them on its "
            "page and set HF_TOKEN."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{name.repo} has no revision {name.revision} on {_endpoint()}. Name another one."
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"There is no folder {name} here, and {where[0].lower()}{where[1:]} has no model of "
            "that name, or does not show it: for a private one set HF_TOKEN."
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.HfHubHTTPError) and status is not None:
        return f"{where} answered {status} when asked for {name}. Try again later."
    return None


def _cause(error: BaseException) -> str:
    """The innermost reason of a failed connection, in one line."""
    while error.__context__ is not None:
        error = error.__context__
    return " ".join(str(error).split())[:160] or type(error).__name__


def _fetch(name: HubName, info: ModelInfo) -> Path:
    check_mark(info.sha, f"the commit of {name}", _endpoint())
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    small = small_files(sizes)
    names = [*small]
    weights = weight_file(sizes)
    if weights is None or not any(config in names for config in CONFIGS):
        message = (
            f"{name} on {_endpoint()} holds no model that can be read here: of its {len(sizes)} "
            "files none is a config.json with weights beside it. Name another model."
        )
        raise ConvertError(message)
    names.append(weights)
    if weights.endswith(INDEX_SUFFIX):
        names += shards_of(_get(name, info, weights))
    lost = [file for file in names if file not in sizes]
    if lost:
        message = f"{name} on {_endpoint()} lacks {', '.join(lost)}, which its {weights} names."
        raise ConvertError(message)
    cached = {file for file in names if _in_cache(name.repo, file, info.sha)}
    rest = [file for file in names if file not in cached]
    if rest:
        logger.info("Loading %d files of %s from %s.", len(rest), name, _endpoint())
        with (
            progress(f"download {name.repo}", total=sum(sizes[f] for f in rest), unit="B") as bar,
            _watched(name.repo, bar),
        ):
            for file in rest:
                _get(name, info, file, resumed=file not in small)
    _note_commit(name, info)
    return _get(name, info, names[0]).parent


def _note_commit(name: HubName, info: ModelInfo) -> None:
    """Let the cache know which commit the revision was, for a time without network."""
    if info.sha and name.revision != info.sha:
        with written_file(_repo_folder(name.repo) / "refs" / (name.revision or "main")) as stream:
            stream.write(info.sha.encode())


def _get(name: HubName, info: ModelInfo, file: str, *, resumed: bool = False) -> Path:
    """The file in the cache; a `resumed` one goes on where an earlier run stopped."""
    from huggingface_hub import hf_hub_download, hf_hub_url

    try:
        if resumed:
            blobs = _repo_folder(name.repo) / "blobs"
            bring(name.repo, file, revision=info.sha, endpoint=_endpoint(), blobs=blobs)
        elif not _in_cache(name.repo, file, info.sha):
            url = hf_hub_url(name.repo, file, revision=info.sha, endpoint=_endpoint())
            announced(url, file, endpoint=_endpoint())
        return Path(hf_hub_download(name.repo, file, revision=info.sha, endpoint=_endpoint()))
    except _failures() as error:
        message = (
            f"{file} of {name} could not be loaded from {_endpoint()} ({_cause(error)}). Run the "
            "command again: what is already there is kept."
        )
        raise ConvertError(message) from error


@contextmanager
def _watched(repo: str, bar: Progress) -> Iterator[None]:
    """Tell `bar` how the cache grows; the library's own bars are silent meanwhile."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    blobs = _repo_folder(repo) / "blobs"
    whole = sum(file.stat().st_size for file in _files(blobs) if file.suffix != ".incomplete")
    bar.resume_at(_size(blobs) - whole)
    over = threading.Event()
    silent = are_progress_bars_disabled()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            bar.advance(max(0.0, _size(blobs) - whole - bar.done))

    watcher = threading.Thread(target=look, daemon=True)
    disable_progress_bars()
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        bar.advance(max(0.0, _size(blobs) - whole - bar.done))
        if not silent:
            enable_progress_bars()


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*") if file.is_file()]


def _size(folder: Path) -> int:
    """Bytes in a folder whose files may come and go meanwhile."""
    total = 0
    for file in _files(folder):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _repo_folder(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def _in_cache(repo: str, file: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _from_cache(name: HubName, why: str, remedy: str) -> Path:
    """The model as the cache has it; ConvertError names what is missing there."""
    configs = (_in_cache(name.repo, config, name.revision) for config in CONFIGS)
    config = next((path for path in configs if path is not None), None)
    missing = [CONFIGS[0]] if config is None else missing_files(config.parent)
    if config is None or missing:
        message = (
            f"There is no folder {name} here. {why}, and the cache {_repo_folder(name.repo)} lacks "
            f"{', '.join(missing)} of the model of that name. {remedy}, or name a folder."
        )
        raise ConvertError(message)
    return config.parent
