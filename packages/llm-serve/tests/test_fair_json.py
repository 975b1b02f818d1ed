"""The fair decoder against Python's own."""

from __future__ import annotations

import importlib.util
import json
import json.decoder
from collections.abc import Callable
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as some

from llm_serve import fair_json
from llm_serve.fair_json import MAX_CHARACTERS_AT_ONCE, MAX_NODES, decode_fairly

Decode = Callable[[str], object]


def without_the_python_decoder() -> ModuleType:
    """The module as it is where json.decoder has no names but the documented ones."""
    with pytest.MonkeyPatch.context() as changed:
        changed.delattr(json.decoder, "JSONArray")
        spec = importlib.util.spec_from_file_location("fair_json_at_once", fair_json.__file__)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


AT_ONCE = without_the_python_decoder()
both = pytest.mark.parametrize("decode", [decode_fairly, AT_ONCE.decode_fairly])

VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats(allow_nan=False)
    | some.text(some.characters(exclude_categories=["Cs"])),
    lambda inner: some.lists(inner) | some.dictionaries(some.text('ab"\\é😀'), inner),
)


def test_which_of_them_decodes() -> None:
    assert fair_json.FAIR
    assert not AT_ONCE.FAIR


@both
@given(VALUES, some.sampled_from([None, 1]), some.booleans())
def test_values_are_those_of_the_standard_library(
    decode: Decode, value: object, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert decode(text) == json.loads(text) == value


def outcome(decode: Decode, text: str) -> str:
    try:
        value = json.dumps(decode(text), ensure_ascii=False)
        value.encode()
    except UnicodeEncodeError:
        return "no text"
    except ValueError as error:
        return f"{type(error).__name__}: {error}"
    return value


@both
@given(some.text('{}[]",:0123456789.eE+-\\ud8truefalsnl \n', max_size=30))
def test_what_is_no_json_is_refused_in_the_same_words(decode: Decode, text: str) -> None:
    assert outcome(decode, text) == outcome(json.loads, text)


@both
@pytest.mark.parametrize("text", [r'"\ud800"', r'["\udfff a"]', r'{"\udc00":1}', r'{"a":"\uD83D"}'])
def test_half_a_surrogate_pair_is_no_text(decode: Decode, text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        decode(text)
    assert decode(r'["\ud83d\ude00"]') == ["😀"]


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


def test_what_holds_others_up_is_bounded_closer() -> None:
    decode = AT_ONCE.decode_fairly
    assert len(decode(f"[{'5,' * 400_000}5]")) == 400_001
    with pytest.raises(ValueError, match=f"at most {MAX_CHARACTERS_AT_ONCE:,} without holding"):
        decode(f'"{"a" * MAX_CHARACTERS_AT_ONCE}"')
    keys = ",".join(f'"{number}":0' for number in range(MAX_NODES - 1))
    assert len(decode(f"{{{keys}}}")) == MAX_NODES - 1
    for text in (f"[{'[],' * MAX_NODES}1]", f'{{{keys},"a":0}}'):
        with pytest.raises(ValueError, match="more than 100,000 lists, objects and keys"):
            decode(text)
