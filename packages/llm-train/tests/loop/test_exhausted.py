"""Memory that ran out while training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paddle
import pytest

from llm_train.errors import ExhaustedError
from llm_train.loop.exhausted import exhaustion_named
from llm_train.pretrain.options import PretrainOptions

OPTIONS = PretrainOptions(model_name_or_path="m", output_dir="o", max_seq_length=100_000)


def test_paddles_own_error_is_told_without_its_text() -> None:
    with pytest.raises(ExhaustedError) as raised, exhaustion_named(OPTIONS):
        paddle.empty([1 << 20, 1 << 20, 256], "float32")
    said = str(raised.value)
    assert "8 x 100,000 tokens at once: 1.13 PB more were asked for" in said
    assert "shorter --max_seq_length" in said
    assert not any(word in said for word in ("Hint", ".cc", "ResourceExhausted", "smaller model"))


@pytest.mark.parametrize(
    ("text", "asked"),
    [("Out of memory error on GPU 0. Cannot allocate 1.25GB memory on GPU 0", "1.25GB"), ("", "")],
)
def test_other_errors_of_memory(text: str, asked: str) -> None:
    with pytest.raises(ExhaustedError) as raised, exhaustion_named(OPTIONS):
        raise MemoryError(text)
    assert asked in str(raised.value)
    assert ("asked for" in str(raised.value)) == bool(asked)


def test_a_run_tells_it(
    trained: Callable[..., Any], repeating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("llm_train.loop.trainer.LoopTrainer.training_step", exhausted)
    run = trained(max_steps=1)
    with pytest.raises(ExhaustedError, match="--per_device_train_batch_size"):
        run.go(repeating(8))
