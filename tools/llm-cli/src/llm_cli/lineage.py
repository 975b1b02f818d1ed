"""Where an output came from: the content of ``llm.json``.

It holds the command, the versions of our packages, the options, a fingerprint of every input and,
where an input has an ``llm.json`` of its own, that one's identity as parent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from llm_cli.discovery import distributions

LINEAGE_FILE = "llm.json"
DISTRIBUTION_PREFIX = "llm-toolchain-"
_SAMPLE = 1 << 20


def installed_packages() -> dict[str, str]:
    """Version of every installed package of this toolchain, by distribution name."""
    ours = {name for name in distributions() if name.startswith(DISTRIBUTION_PREFIX)}
    # Only of ours: their files are parsed as mail, which of 200 others takes half a second.
    return {name: metadata.version(name) for name in sorted(ours)}


def lineage(
    command: str, options: Any = None, inputs: Mapping[str, str | Path | None] | None = None
) -> dict[str, Any]:
    """What ``llm.json`` says of an output that ``command`` made; absent inputs are skipped."""
    paths = {name: Path(path) for name, path in (inputs or {}).items() if path}
    there = {name: path for name, path in paths.items() if path.exists()}
    content: dict[str, Any] = {
        "command": command,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": installed_packages(),
        "options": _plain(options),
        "inputs": {
            name: {"path": str(path), "fingerprint": fingerprint(path)}
            for name, path in there.items()
        },
        "parents": [parent for path in there.values() if (parent := _identity(path))],
    }
    body = json.dumps(content, sort_keys=True, default=str).encode()
    return {"id": hashlib.sha256(body).hexdigest()[:16], **content}


def fingerprint(path: str | Path) -> str:
    """SHA-256 over names, sizes, and the first and last MiB of a file or of a folder's files.

    It tells inputs apart without reading hundreds of gigabytes; it proves nothing about tampering.
    """
    path = Path(path)
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        size = file.stat().st_size
        name = str(file.relative_to(path)) if path.is_dir() else file.name
        digest.update(f"{name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_SAMPLE))
            if size > 2 * _SAMPLE:
                stream.seek(-_SAMPLE, 2)
            digest.update(stream.read(_SAMPLE))
    return "sampled-sha256:" + digest.hexdigest()


def _plain(options: Any) -> Any:
    if dataclasses.is_dataclass(options) and not isinstance(options, type):
        return dataclasses.asdict(options)
    return options


def _identity(path: Path) -> str | None:
    file = path / LINEAGE_FILE
    if not file.is_file():
        return None
    try:
        identity = json.loads(file.read_text(encoding="utf-8")).get("id")
    except (ValueError, AttributeError):
        return None
    return identity if isinstance(identity, str) else None
