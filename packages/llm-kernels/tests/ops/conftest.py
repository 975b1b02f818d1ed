"""Every op is tested on every instruction set that this processor runs."""

from __future__ import annotations

import pytest

from llm_kernels.native import runnable_isas


@pytest.fixture(params=runnable_isas())
def isa(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[1, 3], ids="{}-threads".format)
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)
