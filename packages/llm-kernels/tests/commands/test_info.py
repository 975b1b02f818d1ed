from __future__ import annotations

import json

import pytest

from llm_kernels import native
from llm_kernels.commands.info import info, why
from llm_kernels.commands.options import InfoOptions


@pytest.mark.parametrize(
    ("detected", "selected", "wanted", "reason"),
    [
        ("avx512", "avx512", None, "best of this processor"),
        ("avx512", "avx512", "avx512", "best of this processor"),
        ("avx512", "avx2", "avx2", "LLM_KERNELS_ISA=avx2 lowers it from avx512"),
        ("avx2", "avx2", "avx512", "best of this processor (LLM_KERNELS_ISA=avx512 cannot raise"),
    ],
)
def test_why(detected: str, selected: str, wanted: str | None, reason: str) -> None:
    assert why(detected, selected, wanted).startswith(reason)


def test_every_op_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    info(InfoOptions())
    text = capsys.readouterr().out
    assert native.selected_isa() in text
    for op in ("linear", "rms_norm", "layer_norm", "rope", "activation", "paged_att", "decoder"):
        assert op in text


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    info(InfoOptions(json=True))
    found = json.loads(capsys.readouterr().out)
    assert found["selected"] == native.selected_isa()
    assert found["threads"] == native.default_threads()
    assert found["ops"]["linear"].endswith(native.selected_isa())
