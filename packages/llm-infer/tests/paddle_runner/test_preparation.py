"""Paddle comes in prepared for this machine, and without its own warnings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_paddle_takes_the_threads_and_says_nothing_of_its_own(golden, tmp_path):
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    script = (
        "import os, sys; from llm_infer.load import Backend, load_engine;"
        "load_engine(sys.argv[1], backend=Backend(inference_model=False, threads=1));"
        "assert os.environ['OMP_NUM_THREADS'] == '1'"
    )
    # An empty PATH has no ccache, which Paddle warns of.
    done = subprocess.run(
        [sys.executable, "-c", script, str(golden / "llama_v2_gqa")],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ccache" not in done.stderr
