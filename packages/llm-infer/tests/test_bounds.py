"""Bounds of options."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llm_infer.bounds import check_bounds
from llm_infer.errors import UnsupportedError


def test_the_first_value_below_its_bound_is_named():
    options = SimpleNamespace(threads=None, blocks=1, seconds=0.05)
    check_bounds(options, {"threads": 1, "blocks": 1}, UnsupportedError)
    with pytest.raises(UnsupportedError, match=r"--seconds is 0.05; it must be at least 0.1"):
        check_bounds(options, {"threads": 1, "seconds": 0.1}, UnsupportedError)
    options.seconds = float("nan")
    with pytest.raises(UnsupportedError, match="--seconds is nan"):
        check_bounds(options, {"seconds": 0.1}, UnsupportedError)
