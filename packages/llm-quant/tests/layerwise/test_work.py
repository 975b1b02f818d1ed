"""The work folder: what it calls finished, what it gives back, and whom it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.errors import WorkFolderError
from llm_quant.layerwise.work import WorkFolder

DENSE = np.random.default_rng(0).standard_normal((6, 32)).astype(np.float32)


@pytest.mark.parametrize(
    "weight",
    [
        Int4Weight.from_dense(DENSE, 16),
        Int4Weight.from_dense(DENSE, 8, symmetric=False),
        Int4Weight.from_dense(DENSE),
        Int8Weight.from_dense(DENSE, 16),
    ],
    ids=["int4", "int4 asymmetric", "int4 rows", "int8"],
)
def test_weights_come_back_as_they_were(tmp_path: Path, weight: Int4Weight | Int8Weight) -> None:
    work = WorkFolder(tmp_path / "w", "f", 2)
    key = ParameterKey("q", 1)
    work.save_layer(1, {key: weight, ParameterKey("k", 1): Int8Weight.from_dense(DENSE)}, {})
    found = work.weight(key)
    assert type(found) is type(weight)
    assert found.group_size == weight.group_size
    np.testing.assert_array_equal(found.dequantize(), weight.dequantize())


def test_a_layer_is_finished_when_the_next_input_is_there(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "w", "f", 2)
    assert work.finished() is None
    work.states_path(0).write_bytes(b"")
    assert work.finished() == 0
    work.save_layer(0, {}, {"layers.0.q.weight": {"error": 0.1}})
    assert work.finished() == 0
    work.states_path(1).write_bytes(b"")
    work.drop_states(0)
    assert work.finished() == 1
    work.save_layer(1, {}, {"layers.1.q.weight": {"error": 0.2}})
    assert WorkFolder(tmp_path / "w", "f", 2).finished() == 2
    assert list(work.outcomes()) == ["layers.0.q.weight", "layers.1.q.weight"]
    work.remove()
    assert not (tmp_path / "w").exists()


def test_work_of_another_run_is_started_anew(tmp_path: Path) -> None:
    WorkFolder(tmp_path / "w", "one", 2).states_path(0).write_bytes(b"")
    assert WorkFolder(tmp_path / "w", "two", 2).finished() is None


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "thesis.tex").write_text("years of work")
    with pytest.raises(WorkFolderError, match="holds something else"):
        WorkFolder(tmp_path / "w", "f", 2)
    assert (tmp_path / "w" / "thesis.tex").read_text() == "years of work"
