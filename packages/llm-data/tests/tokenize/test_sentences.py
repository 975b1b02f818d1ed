"""Where sentences end."""

from __future__ import annotations

import pytest

from llm_data.tokenize.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("Mr. Smith paid 3.50. It rained.", ["Mr. Smith paid 3.50.", "It rained."]),
        ("J. R. Smith, i.e. me. Yes.", ["J. R. Smith, i.e. me.", "Yes."]),
        ("Ends e.g. here, and so on... but not there.", 1),
        ("line one\n\n  line two  ", ["line one", "line two"]),
        ("\u4eca\u5929\u5929\u6c14\u597d\u3002\u53bb\u516c\u56ed\uff1f\u597d\uff01", 3),
        ("\u4ed6\u8bf4\uff1a\u201c\u597d\u3002\u201d\u8d70\u4e86\u3002", 2),
        ("  \n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str] | int) -> None:
    found = split_sentences(text)
    if isinstance(sentences, int):
        assert len(found) == sentences
    else:
        assert found == sentences
    assert "".join("".join(found).split()) == "".join(text.split()), "no character is lost"


def test_lines_only() -> None:
    assert split_sentences("One. Two.\nThree", lines_only=True) == ["One. Two.", "Three"]


def test_a_long_line_takes_no_time() -> None:
    assert len(split_sentences("a. " * 200_000)) == 1
    assert len(split_sentences("A b. " * 50_000)) == 50_000
