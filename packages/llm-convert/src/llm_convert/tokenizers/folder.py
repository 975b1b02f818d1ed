"""The tokenizer of a model's folder: its main file, and what tokenizer_config.json says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_cli.outputs import written_file
from llm_convert.errors import ConvertError, FileFormatError
from llm_convert.files.json_file import read_json
from llm_convert.tokenizers import byte_level, sentencepiece
from llm_convert.tokenizers.vocabulary import MOST_TOKENS, ROLES, Kind, UncarriedError, Vocabulary

CONFIG = "tokenizer_config.json"
_CLASSES = {"bpe": "PreTrainedTokenizerFast", "sentencepiece": "LlamaTokenizer"}
_OTHERS = ("vocab.json", "*.tiktoken", "*.model", "tokenizer*")
_ADDED_SCORE = -1000.0


def holds_tokenizer(folder: Path) -> bool:
    """Whether there are files of a tokenizer, of any kind."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _OTHERS)


def read_folder(folder: Path) -> Vocabulary | None:
    """The tokenizer in a folder, None where there is none.

    Raises UncarriedError for one that is no vocabulary of ours, FileFormatError for a damaged one.
    """
    config = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    try:
        vocabulary = _main_file(folder, config)
        if vocabulary is None:
            return None
        found = _with_roles(vocabulary, config, _chat_template(folder, config))
        # Half of a surrogate pair, which JSON may state, is no text.
        "".join((*found.tokens, *found.merges, found.template or "")).encode("utf-8")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ConvertError):
            raise
        message = f"The tokenizer's files in {folder} are damaged: {type(error).__name__} {error}."
        raise FileFormatError(message) from error
    return found


def _main_file(folder: Path, config: Mapping[str, Any]) -> Vocabulary | None:
    if (folder / sentencepiece.FILE).is_file() and not _is_ranks(folder / sentencepiece.FILE):
        vocabulary = sentencepiece.read_sentencepiece(folder / sentencepiece.FILE)
        return _with_added(vocabulary, _added(folder, config))
    if (folder / byte_level.FILE).is_file():
        return byte_level.read_byte_level(folder / byte_level.FILE)
    if holds_tokenizer(folder):
        message = (
            "only a byte-level tokenizer.json and a sentencepiece tokenizer.model are carried; "
            "other files are there"
        )
        raise UncarriedError(message)
    return None


def write_folder(vocabulary: Vocabulary, folder: Path) -> list[str]:
    """Write the main file and tokenizer_config.json into an existing folder; their names.

    Raises UncarriedError for what the file has no place for.
    """
    if vocabulary.model == "bpe":
        name, text = (
            byte_level.FILE,
            json.dumps(byte_level.byte_level_json(vocabulary), indent=2, ensure_ascii=False),
        )
        data = text.encode("utf-8")
    else:
        name, data = sentencepiece.FILE, sentencepiece.sentencepiece_bytes(vocabulary)
    config: dict[str, Any] = {"tokenizer_class": _CLASSES[vocabulary.model]}
    for role in ROLES:
        if role in vocabulary.ids:
            config[f"{role}_token"] = vocabulary.tokens[vocabulary.ids[role]]
    config |= {"add_bos_token": vocabulary.add_bos, "add_eos_token": vocabulary.add_eos}
    config["clean_up_tokenization_spaces"] = False
    if vocabulary.template is not None:
        config["chat_template"] = vocabulary.template
    _write(folder / name, data)
    _write(folder / CONFIG, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())
    return [name, CONFIG]


def _write(path: Path, data: bytes) -> None:
    with written_file(path) as stream:
        stream.write(data)


def _is_ranks(path: Path) -> bool:
    """Whether a tokenizer.model is tiktoken's list of ranks, as Llama 3 has it."""
    with path.open("rb") as stream:
        return stream.readline(1000).rstrip().endswith(b" 0")


def _added(folder: Path, config: Mapping[str, Any]) -> dict[int, tuple[str, Kind]]:
    """Tokens that other files add to a sentencepiece model: id -> text and kind."""
    found: dict[int, tuple[str, Kind]] = {}
    if (folder / "added_tokens.json").is_file():
        for text, i in read_json(folder / "added_tokens.json").items():
            found[int(i)] = (text, Kind.USER_DEFINED)
    for i, entry in (config.get("added_tokens_decoder") or {}).items():
        kind = Kind.CONTROL if entry.get("special") else Kind.USER_DEFINED
        found[int(i)] = (str(entry["content"]), kind)
    return found


def _with_added(vocabulary: Vocabulary, added: Mapping[int, tuple[str, Kind]]) -> Vocabulary:
    size = len(vocabulary.tokens)
    if not all(0 <= i < MOST_TOKENS for i in added):
        message = f"its added tokens have ids up to {max(added)}"
        raise UncarriedError(message)
    wrong = [text for i, (text, _) in added.items() if i < size and vocabulary.tokens[i] != text]
    if wrong:
        message = f"its added token {wrong[0]!r} takes the place of another one of its model"
        raise UncarriedError(message)
    last = max([size - 1, *added]) + 1
    grown = vocabulary.padded(last)
    tokens, kinds = list(grown.tokens), list(grown.kinds)
    for i, (text, kind) in added.items():
        if i >= size or kinds[i] == Kind.NORMAL:
            tokens[i], kinds[i] = text, kind
    scores = vocabulary.scores + (_ADDED_SCORE,) * (last - size)
    return replace(vocabulary, tokens=tuple(tokens), kinds=tuple(kinds), scores=scores)


def _with_roles(
    vocabulary: Vocabulary, config: Mapping[str, Any], template: str | None
) -> Vocabulary:
    ids = dict(vocabulary.ids)
    at = {token: i for i, token in enumerate(vocabulary.tokens)}
    for role in ROLES:
        stated = config.get(f"{role}_token")
        text = stated.get("content") if isinstance(stated, dict) else stated
        if text is not None and text in at:
            ids[role] = at[text]
    changed = replace(vocabulary, ids=ids, template=template)
    if vocabulary.model == "sentencepiece":
        changed = replace(
            changed,
            add_bos=bool(config.get("add_bos_token", True)) and "bos" in ids,
            add_eos=bool(config.get("add_eos_token", False)) and "eos" in ids,
        )
    return changed


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The default template in Jinja; PaddleNLP's chat_template.json is not one."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    stated = config.get("chat_template")
    if isinstance(stated, list):
        named = {entry.get("name"): entry.get("template") for entry in stated}
        stated = named.get("default")
    return stated if isinstance(stated, str) else None
