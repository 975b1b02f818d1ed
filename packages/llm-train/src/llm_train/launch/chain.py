"""Paddle's launcher as a link of a chain: `chain.py ARGUMENTS OF paddle.distributed.launch`.

It ends with the process that started it, and tells its workers who they are to end with: a run
that is killed leaves nobody training. Paddle's own program does neither.
"""

from __future__ import annotations

import os
import runpy

from llm_train.orphans import PARENT, end_with_parent, expected_parent


def main() -> None:
    """Tie this process to its parent, then be Paddle's launcher."""
    end_with_parent(expected_parent())
    os.environ[PARENT] = str(os.getpid())
    runpy.run_module("paddle.distributed.launch", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
