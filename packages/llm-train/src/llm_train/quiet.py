"""Brings Paddle and paddlenlp in: ready for this machine, and without their own talk."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings

from llm_kernels.paddle.environment import prepare


def import_paddlenlp() -> None:
    """Import paddle and paddlenlp; they speak with --debug, else only their warnings are seen."""
    root = logging.getLogger()
    level = root.level
    # Paddle sets the level of the root logger, so it is asked before and put back after.
    debug = root.isEnabledFor(logging.DEBUG)
    prepare()
    if debug:
        import paddlenlp.trainer  # noqa: F401
    else:
        _import_silently()
        from paddlenlp.utils.log import logger

        logger.set_level("WARNING")
        logger.handler.setStream(sys.stderr)
    root.setLevel(level)


def _import_silently() -> None:
    said = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(said),
            contextlib.redirect_stdout(said),
        ):
            warnings.simplefilter("ignore")
            import paddlenlp.trainer  # noqa: F401
    except BaseException:
        sys.stderr.write(said.getvalue())
        raise
