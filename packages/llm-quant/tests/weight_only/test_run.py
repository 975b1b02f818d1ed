"""`llm quant weight-only`: the file holds the nearest grid points of every linear."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llm_cli.main import run
from llm_cli.outputs import is_complete
from llm_convert.files.dtypes import floating
from llm_convert.model import open_model
from llm_convert.saving import save_model
from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.core.grid import Grid
from llm_quant.core.quantized import round_to_nearest


@pytest.mark.parametrize(
    ("quant_type", "group", "kind"),
    [("weight_only_int8", -1, Int8Weight), ("weight_only_int4", 32, Int4Weight)],
)
def test_rounding(llama: Path, tmp_path: Path, quant_type: str, group: int, kind: type) -> None:
    out = tmp_path / "out"
    words = ["quant", "weight-only", "--model_name_or_path", str(llama), "--output_path", str(out)]
    assert run([*words, "--quant_type", quant_type, "--group_size", str(group)]) == 0
    assert is_complete(out)
    found, source = open_model(out), open_model(llama)
    names = json.loads((out / "quant_report.json").read_text())["linears"]
    assert len(names) == 14
    for name in names:
        key = ParameterKey.parse(name)
        packed = found.weight(key)
        assert isinstance(packed, kind)
        expected = round_to_nearest(source.dense(key), Grid(4 if group == 32 else 8, group))
        np.testing.assert_array_equal(packed.dequantize(), expected.dequantize())
    head = ParameterKey("head")
    np.testing.assert_array_equal(found.dense(head), source.dense(head))


def test_every_weight_keeps_its_own_type(llama: Path, tmp_path: Path) -> None:
    source = open_model(llama)
    bfloat16, float32 = floating("bfloat16"), floating("float32")
    types = {
        key: float32 if len(shape) == 1 or key.slot == "head" else bfloat16
        for key, shape in source.parameters.items()
    }
    mixed, out = tmp_path / "mixed", tmp_path / "out"
    mixed.mkdir()
    save_model(
        mixed,
        config=source.config,
        spec=source.spec,
        sizes=source.sizes,
        parameters=source.weight,
        naming="hf",
        dtype=types,
    )
    words = ["quant", "weight-only", "--model_name_or_path", str(mixed), "--output_path", str(out)]
    assert run([*words, "--group_size", "32"]) == 0
    given, found = open_model(mixed), open_model(out)
    rounded = set(json.loads((out / "quant_report.json").read_text())["linears"])
    for key in found.parameters:
        if key.name in rounded:
            continue
        assert found.dtype(key) == given.dtype(key) == types[key], key
        np.testing.assert_array_equal(found.dense(key), given.dense(key))
    norm = ParameterKey("attn_norm", 0)
    assert not np.array_equal(found.dense(norm), found.dense(norm).astype(bfloat16))


def test_progress_counts_every_linear_once(
    llama_bfloat16: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["quant", "weight-only", "--model_name_or_path", str(llama_bfloat16)]
    assert run([*words, "--output_path", str(tmp_path / "out")]) == 0
    assert "14 linears of 14 linears" in capsys.readouterr().err


def test_the_result_is_compared_and_may_be_refused(
    llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(name: str, *more: str) -> int:
        words = ["quant", "weight-only", "--model_name_or_path", str(llama)]
        words += ["--quant_type", "weight_only_int4", "--group_size", "32"]
        return run([*words, "--output_path", str(tmp_path / name), *more])

    assert call("out") == 0
    certificate = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert 1e-4 < certificate["mean_kl"] < 5
    assert call("gated", "--max_kl", "1e-6") == 2
    assert "more than --max_kl 1e-06" in capsys.readouterr().err
    assert not (tmp_path / "gated").exists()
    assert call("unverified", "--verify", "false") == 0
    assert not (tmp_path / "unverified" / "certificate.json").exists()
