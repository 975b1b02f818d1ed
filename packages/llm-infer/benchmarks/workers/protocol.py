"""How `bench_engine.py` talks with an engine: one JSON line asks, one answers.

A worker runs in the environment of its engine, so this imports the standard library only. It is
asked for one figure at a time, so that all engines can take turns on the same machine.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What is measured: a prompt of `context` tokens, or the steps behind it.

    `steps` is 0 for the time until the next token of a prompt is known, else the new tokens that
    each of `batch` sequences gets after its prompt was read, which is not counted.
    """

    context: int
    batch: int = 1
    steps: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that the seconds are for."""
        return self.batch * self.steps if self.steps else self.context


def serve(measure: Callable[[Figure], float]) -> None:
    """Answer {"context", "batch", "steps"} lines with {"seconds"} or {"error"} until stdin ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries print

    def tell(answer: dict[str, object]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    tell({"ready": True})
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"seconds": measure(Figure(**json.loads(line)))}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": repr(error)}
        tell(answer)
