"""Fields of config.json that training does not follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_train.model.ignored import ignored_by_training


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("llama_v3", set()),
        ("gpt2", {"attn_pdrop", "embd_pdrop", "resid_pdrop"}),
        ("opt", {"dropout"}),
        ("glm", {"attention_dropout_prob", "embedding_dropout_prob", "output_dropout_prob"}),
        ("mixtral", set()),
        ("deepseek_v2", {"aux_loss_alpha"}),
    ],
)
def test_dropouts_and_router_losses_that_are_not_zero(
    golden: Path, family: str, fields: set[str]
) -> None:
    config = json.loads((golden / family / "config.json").read_text())
    assert set(ignored_by_training(config)) == fields
    for name in fields:
        assert ignored_by_training(config)[name] == config[name]


def test_a_router_loss_counts_where_it_is_switched_on_and_is_not_followed_in_a_pipeline() -> None:
    config = {"router_aux_loss_coef": 0.01}
    assert ignored_by_training(config, staged=True) == {}
    switched = {**config, "output_router_logits": True}
    assert ignored_by_training(switched) == {}
    assert ignored_by_training(switched, staged=True) == config


def test_switches_and_other_heads_are_none() -> None:
    config = {"bias_dropout_fusion": True, "classifier_dropout": 0.1, "summary_first_dropout": 0.1}
    assert ignored_by_training(config) == {}
