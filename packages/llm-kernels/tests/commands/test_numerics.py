from __future__ import annotations

import numpy as np
import pytest

from llm_kernels import native, ops
from llm_kernels.commands import checks, numerics
from llm_kernels.commands.checks import CHECKS, Outcome
from llm_kernels.commands.options import NumericsOptions


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("isa", native.runnable_isas())
def test_every_check_passes(name: str, isa: str) -> None:
    rng = np.random.default_rng(1)
    outcomes = [CHECKS[name](rng, isa) for _ in range(10)]
    assert all(outcome.passed for outcome in outcomes)


def test_the_command_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert numerics.test(NumericsOptions(seed=4, rounds=1)) == 0
    text = capsys.readouterr().out
    assert text.count("ok") == len(CHECKS) * len(native.runnable_isas())
    assert "WRONG" not in text


def test_a_wrong_op_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = ops.rms_norm
    monkeypatch.setattr(checks.ops, "rms_norm", lambda *a, **k: right(*a, **k) * 1.01)
    assert numerics.test(NumericsOptions()) == 1
    text = capsys.readouterr().out
    assert text.count("WRONG") == len(native.runnable_isas())
    assert "LLM_KERNELS_ISA" in text


def test_not_a_number_is_the_worst_outcome() -> None:
    lost, fine = Outcome(float("nan"), 1e-5), Outcome(1e-6, 1e-5)
    assert not lost.passed
    assert fine.passed
    assert max((fine, lost), key=numerics._share) is lost


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="--rounds is 0"):
        NumericsOptions(rounds=0)
