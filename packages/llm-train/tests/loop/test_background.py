"""Checkpoints written beside training: the same files, and no error lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from llm_train.loop.background import Background


def test_tasks_run_one_after_the_other() -> None:
    background, order, gate = Background(), [], threading.Event()

    def first() -> None:
        gate.wait(5)
        order.append(1)

    background.run(first)
    assert order == []
    gate.set()
    background.run(lambda: order.append(2))
    background.wait()
    assert order == [1, 2]


def test_an_error_is_raised_by_the_next_call_and_once() -> None:
    background = Background()
    background.run(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        background.wait()
    background.wait()


def test_what_is_written_beside_training_is_what_was_true_then(
    trained: Callable[..., Any], repeating: Any
) -> None:
    now, later = trained("now"), trained("later", use_async_save=True)
    for run in (now, later):
        run.go(repeating(24))
    assert now.checkpoints() == later.checkpoints() == ["checkpoint-5", "checkpoint-10"]
    for name in ("model.safetensors", "optimizer.safetensors"):
        for step in (5, 10):
            place = f"checkpoint-{step}/{name}"
            assert (now.output / place).read_bytes() == (later.output / place).read_bytes()
