"""`llm train pretrain` without what it needs; whole runs are in test_cli."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_data.errors import DataError
from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions
from llm_train.pretrain.run import pretrain


def test_data_must_be_named_and_there(config_folder: Path, tmp_path: Path) -> None:
    place = {"model_name_or_path": str(config_folder), "output_dir": str(tmp_path / "out")}
    with pytest.raises(RecipeError, match="--input_dir"):
        pretrain(PretrainOptions(**place))
    with pytest.raises(DataError):
        pretrain(PretrainOptions(**place, input_dir=str(tmp_path / "none")))
    assert not (tmp_path / "out").exists()
