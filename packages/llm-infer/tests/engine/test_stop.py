"""Stop strings across all borders of pieces."""

from __future__ import annotations

import itertools

import pytest

from llm_infer.engine.stop import StopMatcher


def run(stops: list[str], pieces: list[str]) -> tuple[str, str | None]:
    matcher, shown = StopMatcher(stops), ""
    for piece in pieces:
        text, found = matcher.push(piece)
        shown += text
        assert not any(stop in shown for stop in stops)
        if found:
            return shown, found
    return shown + matcher.finish(), None


@pytest.mark.parametrize("stops", [["STOP"], ["\n\nUser:"], ["abab"], ["x", "STOP", "OP"]])
def test_every_cut_of_a_text_gives_the_same(stops):
    text = f"aba{stops[0]} rest"
    end = min(text.find(stop) for stop in stops if stop in text)
    first = next(stop for stop in stops if text.startswith(stop, end))
    for size, offset in itertools.product(range(1, 6), range(3)):
        pieces = [text[:offset], *(text[i : i + size] for i in range(offset, len(text), size))]
        assert run(stops, pieces)[0] == text[:end]
        assert run(stops, list(text)) == (text[:end], first)


def test_a_false_beginning_is_shown_once_it_is_false():
    matcher = StopMatcher(["<end>"])
    assert matcher.push("a <e") == ("a ", None)
    assert matcher.push("nding <") == ("<ending ", None)
    assert matcher.push("end>ignored") == ("", "<end>")


def test_what_was_held_is_shown_at_the_end():
    assert run(["<end>"], ["one <en"]) == ("one <en", None)
