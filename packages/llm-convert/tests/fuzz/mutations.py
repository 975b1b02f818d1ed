"""Changes of a file that are likely to reach past its first check."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, 1 << 62)
_TOKENS = (
    *(b"NaN", b"Infinity", b"-1", b"0", b"1e400", b"1.5", b"null", b"true", b'""', b"[]", b"{}"),
    *(b"[" + b"1," * 40 + b"1]", b"[" + b"999," * 5000 + b"1]"),
    *(b'"../x"', b"9" * 40, b"[" * 50, b'"\\ud800"', b'"x"', b"1", b"2", b"1" + b"0" * 18),
)
_MEMO = re.compile(rb"q(.)", re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|true|false|null')


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """`data` after one to five changes; `others` are files to take pieces of."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        rng.choice(_CHANGES)(content, others, rng)
    return bytes(content[: 1 << 20])


_Change = Callable[[bytearray, Sequence[bytes], random.Random], None]


def _place(content: bytearray, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def _byte(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    if content:
        content[rng.randrange(len(content))] = rng.randrange(256)


def _bit(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _number(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    kind = rng.choice(("<B", "<H", "<I", "<Q", ">I"))
    size = struct.calcsize(kind)
    value = rng.choice(_NUMBERS) % (1 << 8 * size)
    at = _place(content, rng)
    content[at : at + size] = struct.pack(kind, value)


def _remove(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    at = _place(content, rng)
    del content[at : at + rng.choice((1, 1, 2, 4, 8, 64))]


def _repeat(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    at, to = _place(content, rng), _place(content, rng)
    content[to:to] = content[at : at + rng.choice((1, 4, 8, 32, 128))]


def _splice(content: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    at, to = rng.randrange(len(other) + 1), _place(content, rng)
    content[to : to + rng.choice((0, 16))] = other[at : at + rng.choice((4, 16, 64))]


def _cut(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    del content[_place(content, rng) :]


def _token(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """Another JSON value in the place of one; headers keep their length where they can."""
    found = list(_TOKEN.finditer(content))
    if found:
        old = rng.choice(found)
        new = rng.choice((*_TOKENS, rng.choice(found)[0]))
        content[old.start() : old.end()] = new
        grown = len(new) - (old.end() - old.start())
        if len(content) > 8 and old.start() >= 8:
            length = int.from_bytes(content[:8], "little")
            if 0 < length + grown < len(content):
                content[:8] = struct.pack("<Q", length + grown)


def _long(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """A few bytes very often, such as the elements of a list."""
    at = _place(content, rng)
    piece = bytes(content[at : at + rng.choice((1, 2, 3, 4, 8))])
    content[at:at] = piece * rng.choice((100, 1000, 5000))


def _again(content: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """What a pickle remembers, often; or calls of it, each with the same argument."""
    found = [*_MEMO.finditer(content)]
    if found:
        function, argument = rng.choice(found), rng.choice(found)
        piece = b"h" + argument[1]
        if rng.random() < 0.5:
            piece = b"h" + function[1] + piece + rng.choice((b"", b"\x85", b"\x86")) + b"R"
        at = rng.choice(found).end()
        content[at:at] = piece * rng.choice((1, 10, 1000))


_CHANGES: tuple[_Change, ...] = (
    *(_byte, _bit, _number, _number, _remove, _repeat, _splice, _cut),
    *(_token, _token, _token, _long, _again),
)
