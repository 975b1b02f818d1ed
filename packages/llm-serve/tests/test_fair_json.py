"""The fair decoder against Python's own."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llm_serve.fair_json import MAX_NODES, decode_fairly

VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=["Cs"])),
    lambda inner: some.lists(inner) | some.dictionaries(some.text('ab"\\é😀'), inner),
)


@given(VALUES, some.sampled_from([None, 1]), some.booleans())
def test_values_are_those_of_the_standard_library(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert decode_fairly(text) == json.loads(text) == value


def outcome(decode: Callable[[str], object], text: str) -> str:
    try:
        value = json.dumps(decode(text), ensure_ascii=False)
        value.encode()
    except UnicodeEncodeError:
        return "no text"
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return value


@given(some.text('{}[]",:0123456789.eE+-\\ud8truefalsnl \n', max_size=30))
def test_what_is_no_json_is_refused_in_the_same_words(text: str) -> None:
    assert outcome(decode_fairly, text) == outcome(json.loads, text)


@pytest.mark.parametrize("text", [r'"\ud800"', r'["\udfff a"]', r'{"\udc00":1}', r'{"a":"\uD83D"}'])
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        decode_fairly(text)
    assert decode_fairly(r'["\ud83d\ude00"]') == ["😀"]


@pytest.mark.parametrize("text", ["[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000])
def test_too_deep_is_an_error(text: str) -> None:
    with pytest.raises(RecursionError):
        decode_fairly(text)


def test_nodes_are_bounded_and_numbers_are_not() -> None:
    assert len(decode_fairly(f"[{'1,' * 200_000}1]")) == 200_001
    assert len(decode_fairly(f"[{'[],' * (MAX_NODES - 2)}[]]")) == MAX_NODES - 1
    keys = ",".join(f'"{number}":0' for number in range(MAX_NODES))
    for text in (f"[{'[],' * (MAX_NODES - 1)}[]]", f"[{'{},' * MAX_NODES}1]", f"{{{keys}}}"):
        with pytest.raises(ValueError, match="more than 100,000 lists, objects and keys"):
            decode_fairly(text)
