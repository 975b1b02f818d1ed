"""What a scheme may be."""

from __future__ import annotations

import pytest

from llm_convert.errors import QuantizationError
from llm_convert.quantization import Scheme


def test_groups_of_a_row() -> None:
    assert Scheme(4, 16).groups(64) == 4
    assert Scheme(8, None).groups(63) == 1


@pytest.mark.parametrize(("scheme", "columns"), [(Scheme(4, 16), 40), (Scheme(4, None), 63)])
def test_rows_that_cannot_be_grouped(scheme: Scheme, columns: int) -> None:
    with pytest.raises(QuantizationError, match=f"{columns} columns"):
        scheme.groups(columns)


@pytest.mark.parametrize("arguments", [(3, 16), (8, 16, False), (4, 0), (4, -1)])
def test_schemes_that_no_weight_holds(arguments: tuple[int, int, bool]) -> None:
    with pytest.raises(QuantizationError):
        Scheme(*arguments)
