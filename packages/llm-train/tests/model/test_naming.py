"""The names a trained model is written under."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_convert.model import open_model, read_config
from llm_kernels.families import detect, read_sizes
from llm_train.model import FullModelFiles, build_model
from llm_train.model.naming import naming_of


@pytest.mark.parametrize(
    ("model", "naming"),
    [("chatglm", "hf"), ("glm", "paddlenlp"), ("llama_v2_gqa", "paddlenlp"), ("gpt2", "paddlenlp")],
)
def test_paddlenlps_names_where_they_have_a_place_for_all(
    golden: Path, model: str, naming: str
) -> None:
    config = read_config(golden / model)
    spec = detect(config)
    assert naming_of(spec, read_sizes(spec, config)) == naming


def test_a_head_that_was_trained_is_kept(golden: Path, tmp_path: Path) -> None:
    model = build_model(golden / "chatglm")
    head = model.decoder.head.weight
    head.set_value(head + 1.0)
    FullModelFiles(model).save(tmp_path)
    written, before = open_model(tmp_path), open_model(golden / "chatglm")
    for key in before.keys():  # noqa: SIM118 - a Model is no mapping
        moved = 1.0 if key.slot == "head" else 0.0
        assert abs(written.dense(key) - before.dense(key) - moved).max() < 1e-6
