"""Starts the processes of a run with paddle.distributed.launch, and speaks for all of them.

    if needs_launch(options):
        launch(options, "llm_train.sft.run:sft")      # returns when all have ended well
        return

A worker is this toolchain again, with the options from a file. Where one fails, Paddle's launcher
ends the others, and the error of the one that failed first is raised here.
"""

from __future__ import annotations

from llm_train.launch.start import launch, needs_launch

__all__ = ["launch", "needs_launch"]
