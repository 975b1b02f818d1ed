"""Paddle, set up once; the tests of its decoder are left out where it is absent."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("paddle") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    from llm_kernels.paddle.environment import prepare

    prepare()
