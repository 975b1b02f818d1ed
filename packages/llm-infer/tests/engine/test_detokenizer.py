"""Streamed text against the text of all tokens at once; every byte may be a token of its own."""

from __future__ import annotations

import codecs

import numpy as np
import pytest
from tokenizers import decoders

from llm_infer.engine.detokenizer import Detokenizer

TEXTS = [
    "plain words, then some more",
    "naïve café “quotes” … €",
    "中文字符。没有空格。日本語も",
    "emoji 😀👩‍👩‍👧‍👦🇩🇪 and 𒀀𐍈 more",
    "a\u0301 combining, zero\u200bwidth, \ufeff mark",
]
BYTES = [bytes([value]) for value in range(256)]


def decode(ids: list[int]) -> str:
    """A byte-level tokenizer: id = byte."""
    return b"".join(BYTES[i] for i in ids).decode("utf-8", "replace")


def decode_fallback(ids: list[int]) -> str:
    """tokenizers' byte fallback, where a wrong byte spoils all bytes beside it; id = byte."""
    steps = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return steps.decode([f"<0x{i:02X}>" for i in ids])


def every_byte(error: UnicodeError) -> tuple[str, int]:
    """U+FFFD for each wrong byte, as byte fallback has it; what is text around it stays."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("every_byte", every_byte)


def noise(seed: int) -> bytes:
    """Characters with wrong and missing bytes between them."""
    random = np.random.default_rng(seed)
    pieces = [c.encode() for c in "aé中😀"] + [b"\xff", b"\xe4", b"\x80", b"\xf0\x9f"]
    return b"".join(pieces[i] for i in random.integers(0, len(pieces), 60))


def chunks(data: bytes, seed: int) -> tuple[list[bytes], list[int]]:
    """A vocabulary of random pieces of `data`, cut without regard to characters."""
    random, pieces = np.random.default_rng(seed), []
    while data:
        size = int(random.integers(1, 6))
        pieces.append(data[:size])
        data = data[size:]
    return pieces, list(range(len(pieces)))


@pytest.mark.parametrize("text", TEXTS)
def test_single_bytes(text):
    detokenizer = Detokenizer(decode, list(b"prompt: "))
    pieces = [detokenizer.push(byte) for byte in text.encode()]
    assert "".join(pieces) + detokenizer.finish() == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert sum(1 for piece in pieces if piece) == len(text)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_across_characters(text, seed):
    pieces, ids = chunks(text.encode(), seed)
    detokenizer = Detokenizer(
        lambda some: b"".join(pieces[i] for i in some).decode("utf-8", "replace"), []
    )
    shown = [detokenizer.push(i) for i in ids]
    assert "".join(shown) + detokenizer.finish() == text
    assert not any("\ufffd" in piece for piece in shown)


@pytest.mark.parametrize("data", [b"ab\xf0\x9f", b"\xff\xfe ok \xff", b"\xe4\xb8\x80\xe4\xb8"])
def test_what_is_no_text_comes_out_once_and_at_the_end(data):
    detokenizer = Detokenizer(decode, [])
    shown = "".join(detokenizer.push(byte) for byte in data)
    assert shown + detokenizer.finish() == data.decode("utf-8", "replace")
    assert detokenizer.finish() == ""


def test_a_prompt_that_ends_inside_a_character():
    data = "日本".encode()
    detokenizer = Detokenizer(decode, list(data[:4]))
    assert "".join(detokenizer.push(byte) for byte in data[4:]) == "本"


def test_words_keep_their_space_where_decoding_drops_the_first():
    words = ["<s>", "\u2581Once", "\u2581upon", "\u2581a", "\u2581time", "."]

    def pieces(ids: list[int]) -> str:
        text = "".join(words[i] for i in ids if i).replace("\u2581", " ")
        return text[1:] if text.startswith(" ") else text

    detokenizer = Detokenizer(pieces, [0, 1, 2])
    assert [detokenizer.push(i) for i in (3, 0, 4, 5)] == [" a", "", " time", "."]


def test_each_push_decodes_a_few_tokens_only():
    sizes = []

    def counting(ids: list[int]) -> str:
        sizes.append(len(ids))
        return decode(ids)

    detokenizer = Detokenizer(counting, list(b"x" * 500))
    for byte in b"word " * 200:
        detokenizer.push(byte)
    assert max(sizes) <= 8


@pytest.mark.parametrize("decoder", [decode, decode_fallback])
def test_bytes_that_are_no_text_are_held_for_three_tokens_only(decoder):
    sizes = []

    def counting(ids: list[int]) -> str:
        sizes.append(len(ids))
        return decoder(ids)

    detokenizer = Detokenizer(counting, list(b"prompt"))
    shown = [detokenizer.push(byte) for byte in b"ok" + b"\xff" * 1000 + "é".encode()]
    assert shown[:5] == ["o", "k", "", "", ""]
    assert shown[5:1002] == ["\ufffd"] * 997
    assert "".join(shown) + detokenizer.finish() == "ok" + "\ufffd" * 1000 + "é"
    assert max(sizes) <= 8


@pytest.mark.parametrize("seed", range(40))
def test_no_character_between_wrong_bytes_is_split(seed):
    data = noise(seed)
    detokenizer = Detokenizer(decode, [])
    shown = "".join(detokenizer.push(byte) for byte in data)
    assert shown + detokenizer.finish() == data.decode("utf-8", "replace")
    pieces, ids = chunks(data, seed)
    detokenizer = Detokenizer(
        lambda some: b"".join(pieces[i] for i in some).decode("utf-8", "replace"), []
    )
    shown = "".join(detokenizer.push(i) for i in ids)
    assert shown + detokenizer.finish() == data.decode("utf-8", "replace")


@pytest.mark.parametrize("seed", range(40))
def test_byte_fallback_shows_every_character_whole(seed):
    data = noise(seed)
    detokenizer = Detokenizer(decode_fallback, list("日本".encode()))
    shown = "".join(detokenizer.push(byte) for byte in data)
    assert shown + detokenizer.finish() == data.decode("utf-8", "every_byte")


def test_a_context_that_begins_inside_a_character():
    """Its half character would spoil the whole ones beside it, which then came as an answer."""
    detokenizer = Detokenizer(decode_fallback, list("漢字é".encode()))
    assert [detokenizer.push(byte) for byte in b"a!"] == ["a", "!"]


def test_tokens_that_all_end_inside_a_character_are_decoded_in_small_windows():
    data = ("日本" * 100).encode()
    pieces = [data[:1], *(data[i : i + 3] for i in range(1, len(data), 3))]
    sizes = []

    def counting(ids: list[int]) -> str:
        sizes.append(len(ids))
        return b"".join(pieces[i] for i in ids).decode("utf-8", "replace")

    detokenizer = Detokenizer(counting, [])
    shown = [detokenizer.push(i) for i in range(len(pieces))]
    assert shown == ["", *"日本" * 100]
    assert max(sizes) <= 5
