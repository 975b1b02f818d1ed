"""The wire format, against the examples of its documentation."""

from __future__ import annotations

import pytest

from llm_convert.tokenizers.protobuf import fields, message, number


def test_the_examples_of_the_documentation() -> None:
    assert message((1, 150)) == b"\x08\x96\x01"
    assert message((2, "testing")) == b"\x12\x07testing"
    assert message((3, message((1, 150)))) == b"\x1a\x03\x08\x96\x01"
    assert fields(b"\x1a\x03\x08\x96\x01").last(3, b"") == b"\x08\x96\x01"


def test_negative_numbers_repeated_fields_and_defaults() -> None:
    found = fields(message((7, -1), (4, "a"), (4, "b"), (2, 1.5)))
    assert number(found.last(7, 0)) == -1
    assert (found.all(4), found.last(4, b""), found.last(9, 3)) == ([b"a", b"b"], b"b", 3)
    assert found.last(2, b"") == b"\x00\x00\xc0\x3f"
    with pytest.raises(ValueError, match="another type"):
        found.last(4, 0)
    with pytest.raises(ValueError, match="another type"):
        found.all(7)


@pytest.mark.parametrize("data", [b"\x08", b"\x12\x07test", b"\x0b", b"\x08" + b"\xff" * 11])
def test_damage_is_an_error(data: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        fields(data)
