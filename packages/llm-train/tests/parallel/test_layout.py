"""Who holds what: degrees, places, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_train.errors import RecipeError
from llm_train.parallel.layout import Layout, current_layout, layout_of, sharding_stage
from llm_train.training_options import TrainingOptions


def options(**changes: Any) -> TrainingOptions:
    return TrainingOptions(model_name_or_path="m", output_dir="o", **changes)


def test_what_is_left_over_is_data_or_sharding() -> None:
    assert layout_of(options(tensor_parallel_degree=2), 8).data == 4
    sharded = layout_of(options(tensor_parallel_degree=2, sharding="stage1"), 8)
    assert (sharded.sharding, sharded.data, sharded.stage) == (4, 1, 1)
    some = layout_of(options(sharding="stage2", sharding_parallel_degree=2), 8)
    assert (some.sharding, some.data) == (2, 4)
    assert str(some) == "sharding stage 2 2 x data 4"
    assert str(layout_of(options(), 1)) == "one process"


def test_every_rank_has_a_place_of_its_own_and_tensor_groups_are_neighbours() -> None:
    ranks = [Layout(2, 2, 2, 2, stage=1, rank=rank) for rank in range(16)]
    places = [(r.data_rank, r.pipeline_rank, r.sharding_rank, r.tensor_rank) for r in ranks]
    assert len(set(places)) == 16
    assert places == sorted(places)


def test_replicas_share_a_steps_samples_without_gaps() -> None:
    layouts = [Layout(tensor=2, sharding=2, data=2, stage=1, rank=rank) for rank in range(8)]
    shares = {layout.replica: list(layout.share(12)) for layout in layouts}
    assert sorted(place for share in shares.values() for place in share) == list(range(12))
    neighbours = [layout.replica for layout in layouts if layout.tensor_rank == 0]
    assert neighbours == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "processes", "said"),
    [
        ({"tensor_parallel_degree": 2}, 1, "does not fit 1 processes"),
        ({"tensor_parallel_degree": 2, "pipeline_parallel_degree": 2}, 6, "multiple of 4"),
        ({"sharding": "stage1", "sharding_parallel_degree": 3}, 4, "sharding_parallel_degree 3"),
        ({"sharding": "stage2 offload"}, 2, "offload"),
        ({"sharding": "stage3", "tensor_parallel_degree": 2}, 4, "stage2, or"),
        ({"sharding": "stage2", "pipeline_parallel_degree": 2}, 4, "Use stage1"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], processes: int, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        layout_of(options(**changes), processes)


def test_the_launchers_environment_says_where_this_process_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert current_layout(options()) == Layout()
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "4")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "3")
    layout = current_layout(options(pipeline_parallel_degree=2, virtual_pp_degree=3))
    assert (layout.pipeline_rank, layout.data_rank, layout.chunks) == (1, 1, 3)


def test_stages_by_name() -> None:
    assert [sharding_stage(word) for word in ("", "stage1", "stage3")] == [0, 1, 3]
    with pytest.raises(RecipeError, match="stage4"):
        sharding_stage("stage4")
