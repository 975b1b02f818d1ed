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
    prepare()
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        import paddlenlp.trainer

        return
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
    from paddlenlp.utils.log import logger

    logger.set_level("WARNING")
