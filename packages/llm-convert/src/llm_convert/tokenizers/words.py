"""How byte-level BPE cuts texts into words: tokenizer.json's pre-tokenizers, by GGUF's names.

The expressions are those that the models' authors gave (GPT-2, Llama 3, Qwen2, StarCoder). A name
also says whether a word that is a token stays whole whatever the merges say (`ignore_merges`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from llm_convert.tokenizers.vocabulary import UncarriedError

_BEGIN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = _BEGIN + r"\p{N}" + _REST
LLAMA3 = _BEGIN + r"\p{N}{1,3}" + _REST
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@dataclass(frozen=True)
class Words:
    """A way to cut: every digit apart first, or not, and then an expression."""

    pattern: str
    digits: bool = False
    whole: bool = False
    """`ignore_merges`."""
    composed: bool = False
    """Texts are brought into Unicode's form C; llama.cpp leaves that to who calls it."""
    adds_bos: bool = False
    """Whether a file that does not say so adds the token at the beginning."""


WORDS: Mapping[str, Words] = MappingProxyType(
    {
        "gpt-2": Words(GPT2),
        "qwen2": Words(QWEN2, composed=True),
        "llama-bpe": Words(LLAMA3, whole=True, adds_bos=True),
        "dbrx": Words(LLAMA3),
        "starcoder": Words(GPT2, digits=True),
    }
)
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("llama3", "llama-v3", "falcon3"), "llama-bpe"),
        **dict.fromkeys(("deepseek-r1-qwen", "megrez", "stablelm2"), "qwen2"),
        **dict.fromkeys(("phi-2", "olmo", "exaone4"), "gpt-2"),
        **dict.fromkeys(("refact", "command-r", "smollm", "codeshell"), "starcoder"),
        "smaug-bpe": "dbrx",
    }
)


def known(name: str) -> str:
    """The name in WORDS of what GGUF calls `name`. Raises UncarriedError."""
    found = _ALIASES.get(name, name)
    if found not in WORDS:
        message = (
            f"its way to cut texts into words ({name!r}) is not known here; known are "
            f"{', '.join(WORDS)}"
        )
        raise UncarriedError(message)
    return found


def name_of(pre_tokenizer: Any, normalizer: Any, *, whole: bool) -> str:
    """The name in WORDS of what a tokenizer.json states. Raises UncarriedError."""
    composed = normalizer == {"type": "NFC"}
    if normalizer is not None and not composed:
        message = f"its normalizer ({_kind(normalizer)}) has no place in GGUF files"
        raise UncarriedError(message)
    pattern, digits = _pattern(pre_tokenizer)
    for name, words in WORDS.items():
        if (words.pattern, words.digits, words.whole) == (pattern, digits, whole):
            return name
    message = (
        "its way to cut texts into words is none that GGUF has a name for here ("
        f"{', '.join(WORDS)})"
    )
    raise UncarriedError(message)


def pre_tokenizer_of(name: str) -> dict[str, Any]:
    """What a tokenizer.json states for a name of WORDS."""
    words = WORDS[name]
    steps: list[dict[str, Any]] = []
    if words.digits:
        steps.append({"type": "Digits", "individual_digits": True})
    if words.pattern == GPT2:
        steps.append(_byte_level(use_regex=True))
    else:
        split = {"type": "Split", "pattern": {"Regex": words.pattern}, "behavior": "Isolated"}
        steps += [{**split, "invert": False}, _byte_level(use_regex=False)]
    return steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _pattern(stated: Any) -> tuple[str | None, bool]:
    """The expression that texts are cut by, None for another way, and whether digits come first."""
    stated = stated or {}
    steps = stated["pretokenizers"] if stated.get("type") == "Sequence" else [stated]
    digits = bool(steps) and steps[0].get("type") == "Digits"
    if digits:
        digits = bool(steps[0].get("individual_digits"))
        steps = steps[1:]
    last = steps[-1] if steps else {}
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None, digits
    if last.get("use_regex", True):
        return (GPT2 if len(steps) == 1 else None), digits
    if len(steps) != 2 or steps[0].get("type") != "Split" or steps[0].get("invert"):
        return None, digits
    isolated = steps[0].get("behavior") == "Isolated"
    return (steps[0].get("pattern", {}).get("Regex") if isolated else None), digits


def _kind(stated: Any) -> str:
    return str(stated.get("type")) if isinstance(stated, dict) else str(stated)
