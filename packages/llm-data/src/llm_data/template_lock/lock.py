"""Makes, writes, reads and compares locks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from llm_cli.outputs import written_file
from llm_data.chat_template import ChatTemplate, Conversation, encode_conversation
from llm_data.chat_template.encoding import EncodedRounds
from llm_data.errors import DataError, TemplateLockError
from llm_data.template_lock.difference import describe
from llm_data.template_lock.probes import probes
from llm_data.tokenizer import Tokenizer

LOCK_FILE = "template_lock.json"
VERSION = 1
Ids = list[int] | None


def template_lock(tokenizer: Tokenizer, template: ChatTemplate | None) -> dict[str, Any]:
    """The content of a lock: for every probe its ids in training and in inference, and a hash.

    A conversation that the template refuses has null instead of ids. Without a template the ids
    are those of the texts themselves, as they are trained and asked then.
    """
    entries = {
        name: {
            "training": _ids(probe, tokenizer, template, is_training=True),
            "inference": _ids(probe, tokenizer, template, is_training=False),
        }
        for name, probe in probes().items()
    }
    return {
        "version": VERSION,
        "chat_template": template is not None,
        "hash": _hash(entries),
        "probes": entries,
    }


def write_template_lock(
    folder: str | Path, tokenizer: Tokenizer, template: ChatTemplate | None
) -> None:
    """Write the lock of `tokenizer` and `template` into an existing folder."""
    write_lock(folder, template_lock(tokenizer, template))


def write_lock(folder: str | Path, lock: dict[str, Any]) -> None:
    """Write what `template_lock` made into an existing folder."""
    with written_file(Path(folder) / LOCK_FILE) as stream:
        stream.write(json.dumps(lock, ensure_ascii=False).encode() + b"\n")


def check_template_lock(
    folder: str | Path, tokenizer: Tokenizer, template: ChatTemplate | None
) -> None:
    """Refuse a model in `folder` that was trained with other ids; a folder without a lock passes.

    Raises TemplateLockError with the first difference, or for a lock that is damaged.
    """
    path = Path(folder) / LOCK_FILE
    if not path.is_file():
        return
    locked = _read(path)
    now = template_lock(tokenizer, template)
    if locked["hash"] == now["hash"]:
        return
    message = (
        f"{describe(locked, now, tokenizer)} {folder} was trained with other token ids than it "
        "would be asked with. Use its own tokenizer and chat template (leave out "
        "--tokenizer_name_or_path and --chat_template, or name those of the training), or "
        f"remove {LOCK_FILE} if this is meant."
    )
    raise TemplateLockError(message)


def _ids(
    probe: Conversation, tokenizer: Tokenizer, template: ChatTemplate | None, *, is_training: bool
) -> Ids:
    if template is None:
        return _plain(probe, tokenizer)
    try:
        parts = encode_conversation(template, probe, tokenizer, is_training=is_training)
    except DataError:
        return None
    return _joined(parts)


def _joined(parts: EncodedRounds) -> list[int]:
    return parts.system + [i for asked, answer in parts.rounds for i in asked + answer]


def _plain(probe: Conversation, tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = []
    for item in probe.rounds:
        ids += tokenizer.encode(item.asked[0].content, add_special_tokens=True)
        if item.answer is not None:
            ids += tokenizer.encode(item.answer.content)
    return ids


def _hash(entries: dict[str, dict[str, Ids]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        lock = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(lock, dict) and lock["hash"] == _hash(lock["probes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} is not readable ({error!r}). Restore it, or remove it."
        raise TemplateLockError(message) from error
    if not whole:
        message = f"{path} was changed: its hash is not that of its ids. Restore it, or remove it."
        raise TemplateLockError(message)
    if lock.get("version") != VERSION:
        message = f"{path} has version {lock.get('version')}; version {VERSION} is read."
        raise TemplateLockError(message)
    return lock
