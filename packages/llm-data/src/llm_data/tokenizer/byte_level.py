"""Byte-level BPE stored as `vocab.json` and `merges.txt` (GPT-2, OPT, Qwen2).

The two files say neither how a text is cut into words nor which tokens are special. A `Scheme`
does, chosen by the class that tokenizer_config.json names or else by the size of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from llm_data.errors import TokenizerError
from llm_data.tokenizer.patterns import QWEN_PATTERN
from llm_data.tokenizer.special_tokens import SpecialTokens, read_json_object, read_special_tokens

_END = "<|endoftext|>"


@dataclass(frozen=True)
class Scheme:
    """What a tokenizer's code knows and its files do not say."""

    pattern: str | None = None
    """Expression that cuts a text into words; None: GPT-2's, which the library holds."""
    normalize: bool = False
    """Whether texts are brought into Unicode's form C first."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """Special tokens where the config files name none."""


GPT2 = Scheme(roles={"bos_token": _END, "eos_token": _END, "unk_token": _END})
QWEN2 = Scheme(QWEN_PATTERN, normalize=True, roles={"eos_token": _END, "pad_token": _END})
BY_CLASS = {"Qwen2Tokenizer": QWEN2, "Qwen2TokenizerFast": QWEN2}
BY_SIZE = {151643: QWEN2}
"""Entries of vocab.json, for folders whose config names no class."""


def scheme_of(folder: Path, config: Mapping[str, Any]) -> Scheme:
    """The scheme of the files in `folder`; GPT-2's unless something says otherwise."""
    name = config.get("tokenizer_class")
    if name is not None:
        return BY_CLASS.get(str(name), GPT2)
    return BY_SIZE.get(len(read_json_object(folder / "vocab.json")), GPT2)


def read_byte_level_special(folder: Path) -> SpecialTokens:
    """Special tokens that the config files name, else the scheme's."""
    special = read_special_tokens(folder)
    if any(
        (folder / name).is_file() for name in ("tokenizer_config.json", "special_tokens_map.json")
    ):
        return special
    return replace(special, roles=dict(scheme_of(folder, special.config).roles))


def read_byte_level(folder: Path, special: SpecialTokens) -> Any:
    """The library's tokenizer of `vocab.json` and `merges.txt`. Raises TokenizerError."""
    scheme = scheme_of(folder, special.config)
    vocabulary = _vocabulary(folder)
    # Tokens with ids of their own enter the vocabulary, in which no merge leads to them.
    added = special.added_ids | {text: entry["id"] for text, entry in special.plain.items()}
    vocabulary |= {text: i for text, i in added.items() if text not in vocabulary}
    unknown = special.roles.get("unk_token")
    try:
        model = models.BPE(
            vocab=vocabulary,
            merges=_merges(folder / "merges.txt"),
            unk_token=unknown if unknown in vocabulary else None,
        )
    # The library raises bare Exception for every kind of damage.
    except Exception as error:
        message = f"{folder / 'merges.txt'} does not fit vocab.json ({error}). Copy both again."
        raise TokenizerError(message) from error
    tokenizer = tokenizers.Tokenizer(model)
    prefix = bool(special.config.get("add_prefix_space", False))
    if scheme.normalize:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _words(scheme, prefix=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    _add_special(tokenizer, special)
    return tokenizer


def _words(scheme: Scheme, *, prefix: bool) -> Any:
    if scheme.pattern is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    cut = pre_tokenizers.Split(tokenizers.Regex(scheme.pattern), behavior="isolated")
    symbols = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)
    return pre_tokenizers.Sequence([cut, symbols])


def _add_special(tokenizer: Any, special: SpecialTokens) -> None:
    # Tokens without an id get the next ones, in the order in which the original classes ask.
    texts = dict.fromkeys([*special.added_ids, *special.roles.values(), *special.additional])
    tokenizer.add_special_tokens(list(texts))
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    tokenizer.add_tokens(
        [
            tokenizers.AddedToken(text, **{name: entry[name] for name in flags if name in entry})
            for text, entry in special.plain.items()
        ]
    )
    begin = special.roles.get("bos_token")
    if begin is not None and special.config.get("add_bos_token", False):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[begin, "$A"], special_tokens=[(begin, tokenizer.token_to_id(begin))]
        )


def _vocabulary(folder: Path) -> dict[str, int]:
    vocabulary = read_json_object(folder / "vocab.json")
    wrong = [text for text, i in vocabulary.items() if not isinstance(i, int) or i < 0]
    if wrong:
        message = f"{folder / 'vocab.json'} gives {wrong[0]!r} no id. Copy it again."
        raise TokenizerError(message)
    return vocabulary


def _merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} is not readable ({error}). Copy it again from its origin."
        raise TokenizerError(message) from error
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        line = line.removesuffix("\r")
        if not line or line.startswith("#version"):
            continue
        parts = line.split(" ")
        if len(parts) != 2:
            message = f"{path}:{number} is no pair of pieces: {line[:60]!r}. Copy the file again."
            raise TokenizerError(message)
        merges.append((parts[0], parts[1]))
    return merges
