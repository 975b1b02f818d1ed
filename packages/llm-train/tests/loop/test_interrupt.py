"""Ctrl-C: the first is noted, the second ends at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from llm_train.errors import StoppedError
from llm_train.loop.interrupt import Interrupt


def test_the_first_signal_is_noted_and_the_second_raises() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt() as interrupt:
        assert not interrupt.wanted()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.wanted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stopped_run_leaves_a_checkpoint_and_goes_on_as_if_nothing_had_been(
    trained: Callable[..., Any], repeating: Any
) -> None:
    class Interrupting(repeating):  # type: ignore[misc]
        """Sends Ctrl-C when step 4 (of 4 samples) is read."""

        def __getitem__(self, index: int) -> Any:
            if len(self.read) == 24 + 14:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(index)

    whole, stopped = trained("whole"), trained("stopped", save_steps=100)
    whole.go(repeating(24), save_steps=100)
    with pytest.raises(StoppedError, match="Stopped at step 4") as raised:
        stopped.go(Interrupting(24))
    assert raised.value.exit_code == 130
    assert stopped.checkpoints() == ["checkpoint-4"]
    stopped.go(repeating(24))
    assert stopped.losses() == whole.losses()
    assert stopped.weights() == whole.weights()
