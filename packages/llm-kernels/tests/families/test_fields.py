"""Which values of a config are numbers that can be computed with."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llm_kernels.families.fields import is_number


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e15, -(2**52)])
def test_numbers(value: float) -> None:
    assert is_number(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, 10**400, True, "1", None])
def test_what_is_none_that_can_be_computed_with(value: Any) -> None:
    assert not is_number(value)
