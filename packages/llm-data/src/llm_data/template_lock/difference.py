"""The first difference of two locks, in words that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_data.tokenizer import Tokenizer

_AROUND = 6
"""Tokens shown before and behind the place."""


def describe(locked: Mapping[str, Any], now: Mapping[str, Any], tokenizer: Tokenizer) -> str:
    """Which probe differs first, where, and both texts around that place, over three lines."""
    if locked["chat_template"] != now["chat_template"]:
        had, has = (("a" if lock["chat_template"] else "no") for lock in (locked, now))
        return f"The model was trained with {had} chat template and would be asked with {has} one."
    differing = [name for name, entry in locked["probes"].items() if now["probes"][name] != entry]
    name = differing[0]
    way = next(w for w in locked["probes"][name] if _get(locked, name, w) != _get(now, name, w))
    old, new = _get(locked, name, way), _get(now, name, way)
    head = f"{len(differing)} of {len(locked['probes'])} probe conversations differ."
    head = f"{head} {name!r}, {way}"
    if old is None or new is None:
        refused = "the locked template" if old is None else "the template at hand"
        return f"{head}: {refused} refuses it."
    place = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
    place = min(len(old), len(new)) if place is None else place
    return (
        f"{head}, token {place}:\n  trained: {_shown(old, place, tokenizer)}\n"
        f"  now:     {_shown(new, place, tokenizer)}\n"
    )


def _get(lock: Mapping[str, Any], name: str, way: str) -> list[int] | None:
    ids: list[int] | None = lock["probes"][name][way]
    return ids


def _shown(ids: list[int], place: int, tokenizer: Tokenizer) -> str:
    begin = max(place - _AROUND, 0)
    before = _text(ids[begin:place], tokenizer)
    behind = _text(ids[place : place + _AROUND], tokenizer)
    there = str(ids[place]) if place < len(ids) else "the end"
    return f"{before} >>{behind} ({there})"


def _text(ids: list[int], tokenizer: Tokenizer) -> str:
    return repr(tokenizer.decode(ids, skip_special_tokens=False)) if ids else "''"
