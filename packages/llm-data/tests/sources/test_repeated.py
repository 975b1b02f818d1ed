"""The quick search finds the very runs that the exact one finds."""

from __future__ import annotations

import random
import re

import pytest

from llm_data.sources.repeated import RepeatedRuns


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 100])
def test_equal_to_the_exact_search(limit: int) -> None:
    rng = random.Random(limit)
    exact = re.compile(rf"(.)\1{{{limit},}}")
    shrink = RepeatedRuns(limit)
    shorter = 0
    for _ in range(500):
        lengths = [1, 1, 2, limit - 1, limit, limit + 1, limit + 2]
        runs = [rng.choice("ab\n\u00e9") * rng.choice(lengths) for _ in range(8)]
        text = "".join(runs)
        assert shrink(text) == exact.sub(r"\1", text)
        shorter += shrink(text) != text
    assert shorter > 100


def test_newlines_and_zero() -> None:
    assert RepeatedRuns(3)("\n" * 50) == "\n" * 50
    assert RepeatedRuns(0)("=" * 500) == "=" * 500
