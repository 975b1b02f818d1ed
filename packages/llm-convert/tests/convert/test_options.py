"""Exactly one source."""

from __future__ import annotations

import pytest

from llm_cli.errors import UserError
from llm_convert.convert.options import ConvertOptions


def test_one_source_is_enough() -> None:
    assert ConvertOptions(from_torch="a", output_path="b").to is None
    assert ConvertOptions(to_torch="a", output_path="b").dtype is None


@pytest.mark.parametrize("sources", [{}, {"from_torch": "a", "to_torch": "b"}])
def test_none_or_two_are_not(sources: dict[str, str]) -> None:
    with pytest.raises(UserError, match="--from_torch or --to_torch"):
        ConvertOptions(output_path="x", **sources)
