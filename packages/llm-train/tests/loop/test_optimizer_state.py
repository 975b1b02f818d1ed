"""Optimizer state by structural names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn

from llm_convert.files.safetensors import write_safetensors
from llm_train.errors import ResumeError
from llm_train.loop.optimizer_state import OPTIMIZER_FILE, read_optimizer, write_optimizer


def stepped(model: nn.Layer, steps: int = 2) -> paddle.optimizer.Optimizer:
    optimizer = paddle.optimizer.AdamW(1e-2, parameters=model.parameters())
    for step in range(steps):
        paddle.seed(step)
        model(paddle.randn([4, 3])).square().sum().backward()
        optimizer.step()
        optimizer.clear_grad()
    return optimizer


def two_layers() -> nn.Layer:
    paddle.seed(11)
    return nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))


def test_a_process_with_other_layers_before_reads_the_same_state(tmp_path: Path) -> None:
    """Paddle's automatic names differ between the two models; the third step must not."""
    first = two_layers()
    optimizer = stepped(first)
    write_optimizer(optimizer, first, tmp_path)
    nn.Linear(1, 1)
    second = two_layers()
    second.set_state_dict(first.state_dict())
    assert first[0].weight.name != second[0].weight.name
    resumed = paddle.optimizer.AdamW(1e-2, parameters=second.parameters())
    read_optimizer(resumed, second, tmp_path)
    for model, its in ((first, optimizer), (second, resumed)):
        paddle.seed(99)
        model(paddle.randn([4, 3])).square().sum().backward()
        its.step()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(one.numpy(), other.numpy())


def test_frozen_parameters_have_no_state(tmp_path: Path) -> None:
    model = two_layers()
    model[0].weight.stop_gradient = True
    write_optimizer(stepped(model), model, tmp_path)
    read_optimizer(stepped(model, 0), model, tmp_path)
    model[0].weight.stop_gradient = False
    with pytest.raises(ResumeError, match=r"no state of 0\.weight"):
        read_optimizer(stepped(model, 0), model, tmp_path)


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    model = two_layers()
    write_optimizer(stepped(model), model, tmp_path)
    smaller = nn.Sequential(nn.Linear(3, 5))
    with pytest.raises(ResumeError, match=r"holds 1\.weight/"):
        read_optimizer(stepped(smaller, 0), smaller, tmp_path)


def test_an_empty_state_is_no_fresh_start(tmp_path: Path) -> None:
    model = two_layers()
    write_safetensors(tmp_path / OPTIMIZER_FILE, {}, {}.__getitem__)
    with pytest.raises(ResumeError, match=r"no state of 0\.weight \(4 such\)"):
        read_optimizer(stepped(model, 0), model, tmp_path)
