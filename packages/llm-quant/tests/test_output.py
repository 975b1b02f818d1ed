"""What can be stored, and what is said of the linears afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_convert.errors import QuantizationError
from llm_convert.model import open_model
from llm_kernels.families import ParameterKey
from llm_quant.core.grid import Grid
from llm_quant.errors import QuantError
from llm_quant.output import show, storage, summarize
from llm_quant.targets import quantized_linears


def record(error: float | None, rtn: float | None, reason: str | None = None) -> dict[str, Any]:
    method = "gptq" if reason is None else "rtn"
    return {"method": method, "reason": reason, "error": error, "rtn_error": rtn}


RECORDS = {
    "layers.0.q.weight": record(0.01, 0.03),
    "layers.1.q.weight": record(0.02, 0.05),
    "layers.1.experts.3.expert_up.weight": record(None, None, "no calibration token reached it"),
}


def test_summary_counts_and_names_every_fall_back() -> None:
    found = summarize(RECORDS)
    assert (found["linears"], found["gptq"]) == (3, 2)
    assert found["rtn"] == {
        "layers.1.experts.3.expert_up.weight": "no calibration token reached it"
    }
    assert found["mean_error"] == pytest.approx(0.015)
    assert found["mean_rtn_error"] == pytest.approx(0.04)


def test_show_names_the_worst_linear_and_the_fall_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    show(tmp_path, RECORDS)
    told = capsys.readouterr().out
    assert "layers.1.q.weight (0.02000)" in told
    assert "layers.1.experts.3.expert_up.weight was rounded to nearest: no calibration" in told


def test_families_stored_by_input_rows_are_refused(golden: Path) -> None:
    model = open_model(golden / "gpt2")
    linears = quantized_linears(model.spec, model.sizes, [], 8)
    with pytest.raises(QuantError, match="Conv1D"):
        storage(model, linears, Grid(4, 8))


def test_parts_of_a_fused_tensor_go_together(golden: Path) -> None:
    model = open_model(golden / "bloom")
    whole = quantized_linears(model.spec, model.sizes, [], 8)
    assert ParameterKey("q", 0) in storage(model, whole, Grid(4, 8)).schemes
    partial = quantized_linears(model.spec, model.sizes, ["q"], 8)
    with pytest.raises(QuantizationError, match="together"):
        storage(model, partial, Grid(4, 8))
