"""The work folder: what it calls finished, what it gives back, and whom it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from llm_kernels.families import ParameterKey
from llm_kernels.weights import Int4Weight, Int8Weight
from llm_quant.errors import WorkFolderError
from llm_quant.layerwise.work import WorkFolder

PLAN = {"version": "0.1", "--bits": 4}
DENSE = np.random.default_rng(0).standard_normal((6, 32)).astype(np.float32)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    """A folder that is held for a run over two layers."""
    folder = WorkFolder(tmp_path / "w", 2)
    with folder.opened(PLAN, overwrite=False):
        yield folder


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
def test_weights_come_back_as_they_were(work: WorkFolder, weight: Int4Weight | Int8Weight) -> None:
    key = ParameterKey("q", 1)
    work.save_layer(1, {key: weight, ParameterKey("k", 1): Int8Weight.from_dense(DENSE)}, {})
    found = work.weight(key)
    assert type(found) is type(weight)
    assert found.group_size == weight.group_size
    np.testing.assert_array_equal(found.dequantize(), weight.dequantize())


def test_a_layer_is_finished_when_the_next_input_is_there(work: WorkFolder) -> None:
    assert work.finished() is None
    work.states_path(0).write_bytes(b"")
    assert work.finished() == 0
    work.save_layer(0, {}, {"layers.0.q.weight": {"error": 0.1}})
    assert work.finished() == 0
    work.states_path(1).write_bytes(b"")
    work.drop_states(0)
    assert work.finished() == 1
    work.save_layer(1, {}, {"layers.1.q.weight": {"error": 0.2}})
    assert WorkFolder(work.path, 2).finished() == 2
    assert list(work.outcomes()) == ["layers.0.q.weight", "layers.1.q.weight"]
    work.remove()
    assert not work.path.exists()


def left_behind(path: Path) -> None:
    """Work of PLAN that was interrupted after the first layer."""
    work = WorkFolder(path, 2)
    with work.opened(PLAN, overwrite=False):
        work.save_layer(0, {}, {})
        work.states_path(1).write_bytes(b"states")


def test_the_same_plan_goes_on(tmp_path: Path) -> None:
    left_behind(tmp_path / "w")
    work = WorkFolder(tmp_path / "w", 2)
    with work.opened(dict(PLAN), overwrite=False):
        assert work.finished() == 1


def test_work_of_another_plan_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    left_behind(tmp_path / "w")
    work = WorkFolder(tmp_path / "w", 2)
    other = PLAN | {"--bits": 8}
    with (
        pytest.raises(WorkFolderError, match=r"differs in: --bits\. .*--overwrite_output_dir"),
        work.opened(other, overwrite=False),
    ):
        pass
    assert work.finished() == 1
    with work.opened(other, overwrite=True):
        assert work.finished() is None
        assert sorted(file.name for file in work.path.iterdir()) == ["lock", "run.json"]
    with work.opened(other, overwrite=False):
        assert work.finished() is None


def test_temporaries_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    left_behind(tmp_path / "w")
    half = tmp_path / "w" / ".states-1.f32.0badf00d.tmp"
    half.write_bytes(b"half of it")
    work = WorkFolder(tmp_path / "w", 2)
    with work.opened(PLAN, overwrite=False):
        assert not half.exists()
        assert work.finished() == 1


def test_a_kill_before_the_first_record_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "lock").touch()
    (tmp_path / "w" / ".run.json.0badf00d.tmp").touch()
    with WorkFolder(tmp_path / "w", 2).opened(PLAN, overwrite=False):
        assert not list((tmp_path / "w").glob(".*.tmp"))


def test_two_runs_do_not_share_a_folder(work: WorkFolder) -> None:
    other = WorkFolder(work.path, 2)
    with (
        pytest.raises(WorkFolderError, match="Another run is writing"),
        other.opened(PLAN, overwrite=True),
    ):
        pass


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with (
            pytest.raises(WorkFolderError, match="holds something else"),
            WorkFolder(tmp_path / "w", 2).opened(PLAN, overwrite=overwrite),
        ):
            pass
    assert [file.name for file in (tmp_path / "w").iterdir()] == ["thesis.tex"]
