"""A tokenizer's `Vocabulary` in the metadata of a GGUF file.

Names of the keys: the package gguf (`gguf.Keys.Tokenizer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gguf

from llm_convert.errors import FileFormatError
from llm_convert.files.tensor_file import FileMap
from llm_convert.foreign.gguf_scan import check_lengths
from llm_convert.foreign.gguf_scan import stated as stated_in
from llm_convert.tokenizers import Kind, UncarriedError, Vocabulary
from llm_convert.tokenizers.words import WORDS, known

_PREFIX = "tokenizer.ggml."
_MODELS = MappingProxyType({"bpe": "gpt2", "sentencepiece": "llama"})
_IDS = MappingProxyType(
    {
        "bos": "bos_token_id",
        "eos": "eos_token_id",
        "unk": "unknown_token_id",
        "pad": "padding_token_id",
    }
)
_TEMPLATE = "tokenizer.chat_template"
# How texts are cut where a file does not say so.
_CUT_BY = MappingProxyType({"qwen2": "qwen2", "qwen3": "qwen2"})


def tokenizer_metadata(vocabulary: Vocabulary, rows: int) -> dict[str, Any]:
    """What of a file's metadata is the tokenizer, for an embedding of so many rows.

    Raises UncarriedError where there are more tokens.
    """
    whole = vocabulary.padded(rows)
    stated: dict[str, Any] = {
        "model": _MODELS[whole.model],
        # llama.cpp's name of sentencepiece's way.
        "pre": whole.words or "default",
        "tokens": list(whole.tokens),
        "token_type": [int(kind) for kind in whole.kinds],
    }
    if whole.model == "sentencepiece":
        stated |= {"scores": list(whole.scores), "add_space_prefix": whole.add_space}
    else:
        stated["merges"] = list(whole.merges)
    stated |= {_IDS[role]: i for role, i in whole.ids.items()}
    stated |= {"add_bos_token": whole.add_bos, "add_eos_token": whole.add_eos}
    metadata = {_PREFIX + name: value for name, value in stated.items()}
    return metadata | ({_TEMPLATE: whole.template} if whole.template else {})


def add_tokenizer(writer: gguf.GGUFWriter, metadata: Mapping[str, Any]) -> None:
    """Add what `tokenizer_metadata` gave to a file that is being written."""
    for key, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_uint32(key, value)


def read_tokenizer(path: Path) -> Vocabulary | None:
    """The tokenizer in a GGUF file that `open_gguf` has opened; None where there is none.

    Raises UncarriedError for a kind that is not known here, FileFormatError for one that
    contradicts itself.
    """
    source = FileMap(path)
    check_lengths(source)
    others = ("general.architecture", _TEMPLATE)
    found = stated_in(source, lambda key: key.startswith(_PREFIX) or key in others)
    stated = {name.removeprefix(_PREFIX): value for name, value in found.items()}
    if "tokens" not in stated or "model" not in stated:
        return None
    try:
        return _vocabulary(stated)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, UncarriedError):
            raise
        message = f"{path}: its tokenizer is malformed ({type(error).__name__} {error})."
        raise FileFormatError(message) from error


def _vocabulary(stated: Mapping[str, Any]) -> Vocabulary:
    models = {name: model for model, name in _MODELS.items()}
    if stated["model"] not in models:
        message = (
            f"it is of the kind {stated['model']!r}; gpt2 (byte-level BPE) and llama "
            "(sentencepiece) are carried"
        )
        raise UncarriedError(message)
    tokens = _texts(stated["tokens"])
    kinds = tuple(map(Kind, stated.get("token_type", [Kind.NORMAL] * len(tokens))))
    scores = tuple(map(float, stated.get("scores", [0.0] * len(tokens))))
    if not len(tokens) == len(kinds) == len(scores):
        message = f"{len(tokens)} tokens, {len(kinds)} types, {len(scores)} scores"
        raise ValueError(message)
    byte_level = models[stated["model"]] == "bpe"
    ids = {} if byte_level else {"unk": 0, "bos": 1, "eos": 2}
    ids |= {role: int(stated[key]) for role, key in _IDS.items() if key in stated}
    ids = {role: i for role, i in ids.items() if 0 <= i < len(tokens)}
    template = None if _TEMPLATE not in stated else _texts([stated[_TEMPLATE]])[0]
    if not byte_level:
        return Vocabulary(
            "sentencepiece",
            tokens,
            kinds,
            scores=scores,
            ids=ids,
            add_bos=bool(stated.get("add_bos_token", True)),
            add_eos=bool(stated.get("add_eos_token", False)),
            add_space=bool(stated.get("add_space_prefix", True)),
            template=template,
        )
    pre = stated.get("pre", "default")
    words = known(_CUT_BY.get(stated["general.architecture"], pre) if pre == "default" else pre)
    return Vocabulary(
        "bpe",
        tokens,
        kinds,
        merges=_texts(stated["merges"]),
        words=words,
        ids=ids,
        add_bos=bool(stated.get("add_bos_token", WORDS[words].adds_bos)),
        add_eos=bool(stated.get("add_eos_token", False)),
        template=template,
    )


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        message = "texts are needed"
        raise TypeError(message)
    return tuple(values)
