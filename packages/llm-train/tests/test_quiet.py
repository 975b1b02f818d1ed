"""Importing paddlenlp says nothing, and with --debug it may."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import logging, sys
logging.basicConfig(level={level})
from llm_train.quiet import import_paddlenlp
import_paddlenlp()
assert "paddlenlp.trainer" in sys.modules
from paddlenlp.utils.log import logger
logger.info("chatter of the trainer")
logger.warning("a real warning")
"""


def said(level: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(level=level)],
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stderr + answer.stdout


def test_only_warnings_are_let_out() -> None:
    text = said("'INFO'")
    assert "a real warning" in text
    assert len(text.strip().splitlines()) == 1


def test_with_debug_it_speaks() -> None:
    assert "chatter of the trainer" in said("'DEBUG'")
