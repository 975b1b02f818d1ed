"""Options that no grid or run has are refused before anything is read."""

from __future__ import annotations

import pytest

from llm_cli.errors import UserError
from llm_quant.checks import model_length
from llm_quant.layerwise.options import GptqOptions
from llm_quant.report.options import ReportOptions
from llm_quant.weight_only.options import WeightOnlyOptions


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bits": 3}, "--bits 3"),
        ({"group_size": 0}, "--group_size 0"),
        ({"group_size": 20}, "--group_size 20"),
        ({"group_size": -2}, "--group_size -2"),
        ({"bits": 8, "sym": False}, "--sym false"),
        ({"percdamp": 0.0}, "--percdamp 0"),
        ({"percdamp": 1.5}, "--percdamp 1.5"),
        ({"gptq_step": 0}, "--gptq_step 0"),
        ({"block": 0}, "--block 0"),
        ({"max_kl": 0.0}, "--max_kl 0 must be above 0"),
        ({"max_kl": 0.1, "verify": False}, "needs --verify true"),
        ({"input_dir": None}, "--dataset_name_or_path"),
        ({"dataset_name_or_path": "b"}, "one kind"),
    ],
)
def test_gptq_options(wrong: dict[str, object], told: str) -> None:
    right: dict[str, object] = {"model_name_or_path": "m", "output_path": "o", "input_dir": "a"}
    GptqOptions(**right)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=told):
        GptqOptions(**(right | wrong))  # type: ignore[arg-type]


def test_weight_only_options() -> None:
    options = WeightOnlyOptions(
        model_name_or_path="m", output_path="o", quant_type="weight_only_int4", sym=False
    )
    assert options.bits == 4
    with pytest.raises(UserError, match="--sym false needs --bits 4"):
        WeightOnlyOptions(model_name_or_path="m", output_path="o", sym=False)


def test_the_shortest_model_that_says_so_limits_the_length() -> None:
    assert model_length("max_length", 100, 0) == 100
    assert model_length("max_length", 100, 0, 64, 80) == 64
    assert model_length("max_length", 100, 2048, 0) == 100


def test_report_options() -> None:
    with pytest.raises(UserError, match="--max_eval_tokens 0"):
        ReportOptions(model_name_or_path="m", input_dir="d", max_eval_tokens=0)
    with pytest.raises(UserError, match="held-out data of one kind"):
        ReportOptions(model_name_or_path="m")
