"""The script of one process: `worker.py LOGS MODULE:FUNCTION`, run by Paddle's launcher.

Options come from LOGS/options.json. An error is left in LOGS, and the exit code says the rest.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from llm_cli.console import set_up_logging
from llm_cli.errors import sentence
from llm_train.launch.notes import note_failure, note_start
from llm_train.orphans import end_with_parent, expected_parent

OPTIONS_FILE = "options.json"
_PACKAGES = ("llm_train", "llm_peft", "llm_data", "llm_convert", "llm_kernels", "llm_cli")


def main(arguments: list[str]) -> int:
    """Run the function on the options; the exit code."""
    end_with_parent(expected_parent())
    logs, target = Path(arguments[0]), arguments[1]
    rank = int(os.environ.get("PADDLE_TRAINER_ID") or 0)
    note_start(logs, rank)
    content = json.loads((logs / OPTIONS_FILE).read_text(encoding="utf-8"))
    set_up_logging(_PACKAGES, debug=bool(content["debug"]))
    if rank and not content["debug"]:
        # One process speaks for all.
        for package in _PACKAGES:
            logging.getLogger(package).setLevel(logging.ERROR)
    try:
        options = named(content["class"])(**content["options"])
        named(target)(options)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        told = sentence(error)
        if told is None or content["debug"]:
            traceback.print_exc()
        code = int(getattr(error, "exit_code", 2)) if told is not None else 1
        note_failure(logs, rank, told or f"{type(error).__name__}: {error}", code)
        return code
    return 0


def named(target: str) -> Any:
    """The object of "module:name"."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # At once: the threads of a broken collective would wait for the others.
    os._exit(code)
