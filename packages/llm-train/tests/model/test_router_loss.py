"""The loss that balances experts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from llm_train.loop.compute import make_computation
from llm_train.model import build_model
from llm_train.model.router_loss import balance


def test_even_routing_costs_least_and_one_expert_for_all_most() -> None:
    even = paddle.to_tensor(10 * np.eye(4, dtype=np.float32))
    assert float(balance([even], 1)) == pytest.approx(1.0)
    one = paddle.to_tensor(np.tile(np.float32([20, 0, 0, 0]), (4, 1)))
    assert float(balance([one, one], 1)) == pytest.approx(4.0, rel=1e-4)


def test_two_choices_as_counted_by_hand() -> None:
    logits = np.log(np.float32([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    # Experts 0, 1 and 2, 1 are picked: shares 1/2 and 1/2, then 1 of expert 1.
    mean = np.array([0.3, 0.25, 0.45])
    by_hand = 3 * (0.5 * mean[0] + 0.5 * mean[2] + 1.0 * mean[1])
    assert float(balance([paddle.to_tensor(logits)], 2)) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("switched", [False, True])
def test_a_configuration_adds_it_to_the_gradient_and_not_to_the_figure(
    switched: bool, golden: Path, tmp_path: Path
) -> None:
    config = json.loads((golden / "mixtral" / "config.json").read_text())
    config |= {"output_router_logits": switched, "router_aux_loss_coef": 0.5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").symlink_to(golden / "mixtral" / "model.safetensors")
    model, plain = build_model(tmp_path), build_model(golden / "mixtral")
    ids = np.random.default_rng(1).integers(0, 200, (2, 9))
    batch = {"input_ids": ids[:, :-1], "labels": ids[:, 1:]}
    figures, gradients = [], []
    for each in (model, plain):
        each.train()
        figures.append(make_computation(each, None).train([batch], 16, lambda: None))
        gradients.append(each.decoder.layers[0].router.weight.grad.numpy())
    assert figures[0] == figures[1]
    assert np.allclose(*gradients, atol=1e-7) is not switched
