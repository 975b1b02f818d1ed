"""Byte-level BPE: a tokenizer.json as a `Vocabulary`, and the other way round.

Format: https://github.com/huggingface/tokenizers, as its `Tokenizer.save` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_convert.errors import FileFormatError
from llm_convert.files.json_file import read_json
from llm_convert.tokenizers.vocabulary import MOST_TOKENS, Kind, UncarriedError, Vocabulary
from llm_convert.tokenizers.words import WORDS, name_of, pre_tokenizer_of

FILE = "tokenizer.json"
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
# Of a model, what GGUF has no place for where it is set.
_ABSENT = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "dropout")


def read_byte_level(path: Path) -> Vocabulary:
    """The vocabulary of a tokenizer.json; roles and template are those of other files.

    Raises UncarriedError for another kind of tokenizer, FileFormatError for a file that is none.
    """
    content = read_json(path)
    try:
        return _vocabulary(content)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UncarriedError):
            raise
        message = f"{path} is no tokenizer.json: {type(error).__name__} {error}."
        raise FileFormatError(message) from error


def byte_level_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of a tokenizer.json. Raises UncarriedError where a token occurs twice."""
    vocabulary = vocabulary.trimmed()
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    if len(ids) != len(vocabulary.tokens):
        message = "it has a token twice, which a tokenizer.json cannot have"
        raise UncarriedError(message)
    words = WORDS[vocabulary.words]
    added = [
        {"id": i, "content": token, **_FLAGS, "special": kind == Kind.CONTROL}
        for i, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if kind in (Kind.CONTROL, Kind.USER_DEFINED)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if words.composed else None,
        "pre_tokenizer": pre_tokenizer_of(vocabulary.words),
        "post_processor": _template(vocabulary),
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": words.whole,
            "vocab": ids,
            "merges": list(vocabulary.merges),
        },
    }


def _vocabulary(content: Mapping[str, Any]) -> Vocabulary:
    model = content["model"]
    if model.get("type", "BPE") != "BPE" or (content.get("decoder") or {}).get("type") != (
        "ByteLevel"
    ):
        message = (
            f"its tokenizer.json is no byte-level BPE ({model.get('type', 'BPE')}); of the others "
            "only those with a sentencepiece tokenizer.model are carried"
        )
        raise UncarriedError(message)
    present = [name for name in _ABSENT if model.get(name)]
    if present:
        message = f"GGUF files have no place for its {', '.join(present)}"
        raise UncarriedError(message)
    words = name_of(
        content.get("pre_tokenizer"),
        content.get("normalizer"),
        whole=bool(model.get("ignore_merges")),
    )
    texts = {i: token for token, i in model["vocab"].items()}
    kinds = dict.fromkeys(texts, Kind.NORMAL)
    for token in content.get("added_tokens") or ():
        texts[token["id"]] = str(token["content"])
        kinds[token["id"]] = Kind.CONTROL if token["special"] else Kind.USER_DEFINED
    for i, token in texts.items():
        if type(i) is not int or not 0 <= i < MOST_TOKENS:
            message = f"{token!r} has the id {i!r}"
            raise ValueError(message)
    size = max(texts, default=-1) + 1
    before, after = _around(content.get("post_processor"))
    at = {token: i for i, token in texts.items()}
    return Vocabulary(
        "bpe",
        tuple(texts.get(i, f"[PAD{i}]") for i in range(size)),
        tuple(kinds.get(i, Kind.UNUSED) for i in range(size)),
        merges=tuple(_merge(pair) for pair in model["merges"]),
        words=words,
        ids={role: at[token] for role, token in (("bos", before), ("eos", after)) if token},
        add_bos=before is not None,
        add_eos=after is not None,
    )


def _merge(pair: Any) -> str:
    return pair if isinstance(pair, str) else " ".join(pair)


def _around(stated: Any) -> tuple[str | None, str | None]:
    """The tokens that are put before and after every text. Raises UncarriedError."""
    stated = stated or {}
    steps = stated["processors"] if stated.get("type") == "Sequence" else [stated]
    for step in steps:
        kind = step.get("type", "ByteLevel")
        if kind == "ByteLevel":
            continue
        names = [
            "" if "Sequence" in part else str(part["SpecialToken"]["id"])
            for part in step.get("single", ())
        ]
        if kind != "TemplateProcessing" or names.count("") != 1 or len(names) > 3:
            break
        at = names.index("")
        if at > 1 or len(names) - at > 2:
            break
        return (names[0] if at else None), (names[-1] if at < len(names) - 1 else None)
    else:
        return None, None
    message = f"what it puts around texts ({kind}) has no place in GGUF files"
    raise UncarriedError(message)


def _template(vocabulary: Vocabulary) -> dict[str, Any] | None:
    """TemplateProcessing that adds what the vocabulary says."""
    roles = [("bos", vocabulary.add_bos), ("eos", vocabulary.add_eos)]
    ids = {role: vocabulary.ids[role] for role, adds in roles if adds and role in vocabulary.ids}
    if not ids:
        return None
    token = {role: vocabulary.tokens[i] for role, i in ids.items()}

    def around(sequence: str, type_id: int) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{"Sequence": {"id": sequence, "type_id": type_id}}]
        if "bos" in token:
            parts.insert(0, {"SpecialToken": {"id": token["bos"], "type_id": type_id}})
        if "eos" in token:
            parts.append({"SpecialToken": {"id": token["eos"], "type_id": type_id}})
        return parts

    specials = {
        token[role]: {"id": token[role], "ids": [i], "tokens": [token[role]]}
        for role, i in ids.items()
    }
    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": specials,
    }
