"""A file of Hugging Face's hub into its cache, from where an earlier run stopped.

Up to some version, huggingface_hub goes on with `blobs/ETAG.incomplete` itself; later ones begin
every file again in another process. So the weights are brought here, by that name, under the lock
of the library, which then finds them whole and links them. Files that its own storage (Xet) gives
in chunks are left to it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_convert.errors import ConvertError

_SHA256 = re.compile(r"[0-9a-f]{64}")
# Names of the cache's files and folders that the hub chooses.
_MARK = re.compile(r"[0-9A-Za-z_-]{1,128}")
_READ = 1 << 20


def bring(repo: str, file: str, *, revision: str | None, endpoint: str, blobs: Path) -> None:
    """Have the content of a file in `blobs`, the folder of a repository's contents in the cache.

    Nothing is done where it is there, or where the library has a better way. Raises the library's
    errors for a hub that does not answer, OSError for a connection or a disk, and ConvertError
    where what arrived is not what the hub announced; then nothing of it is kept. ConvertError also
    for an answer that would lead out of the cache.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    url = hf_hub_url(repo, file, revision=revision, endpoint=endpoint)
    found = announced(url, file, endpoint=endpoint)
    if found.etag is None or found.size is None or _in_chunks(found):
        return
    blob = blobs / found.etag
    locks = blobs.parent.parent / ".locks" / blobs.parent.name
    headers = build_hf_headers()
    if urlsplit(found.location).netloc != urlsplit(url).netloc:
        # Where the content lies elsewhere, its address says who may have it; a token must not.
        headers.pop("authorization", None)
    for folder in (blobs, locks):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(locks / f"{found.etag}.lock"):
        if not blob.exists():
            part = blob.with_name(f"{blob.name}.incomplete")
            _go_on(part, found.location, headers, found.size)
            _check(part, found.etag, file)
            part.replace(blob)


def announced(url: str, file: str, *, endpoint: str) -> Any:
    """What the hub says of a file, once its ETag and its commit can be names in the cache.

    The library makes paths of both as they come. Raises ConvertError for others, and the library's
    errors for a hub that does not answer.
    """
    from huggingface_hub import get_hf_file_metadata

    found = get_hf_file_metadata(url, endpoint=endpoint)
    check_mark(found.etag, f"the ETag of {file}", endpoint)
    check_mark(found.commit_hash, f"the commit of {file}", endpoint)
    return found


def check_mark(mark: str | None, what: str, endpoint: str) -> None:
    """ConvertError unless what a hub said, which becomes the name of a file or folder, is plain."""
    if mark is not None and not _MARK.fullmatch(mark):
        message = (
            f"The hub {endpoint} names {mark[:80]!r} as {what}; that becomes a name in the cache, "
            "and only 1 to 128 letters, digits, _ and - are taken. Nothing of it was loaded. Check "
            "HF_ENDPOINT: a mirror may be broken or hostile."
        )
        raise ConvertError(message)


def _in_chunks(found: Any) -> bool:
    """Whether the library loads a file through Xet: it can, and nobody forbade it."""
    from huggingface_hub import constants

    forbidden = getattr(constants, "HF_HUB_DISABLE_XET", False)
    stored = getattr(found, "xet_file_data", None) is not None
    return stored and not forbidden and importlib.util.find_spec("hf_xet") is not None


def _go_on(part: Path, url: str, headers: dict[str, str], size: int) -> None:
    from huggingface_hub.file_download import http_get

    if part.exists() and part.stat().st_size > size:
        part.unlink()
    with part.open("ab") as stream:
        http_get(
            url,
            stream,
            resume_size=stream.tell(),
            headers=headers,
            expected_size=size,
            displayed_filename=part.name,
        )


def _check(part: Path, etag: str, file: str) -> None:
    """Parts of several runs are one file: of large ones, the hub names the SHA-256."""
    if not _SHA256.fullmatch(etag):
        return
    digest = hashlib.sha256()
    with part.open("rb") as stream:
        while piece := stream.read(_READ):
            digest.update(piece)
    if digest.hexdigest() != etag:
        part.unlink()
        message = (
            f"{file} arrived damaged: its SHA-256 is {digest.hexdigest()}, the hub names {etag}. "
            "Nothing of it was kept; run the command again."
        )
        raise ConvertError(message)
