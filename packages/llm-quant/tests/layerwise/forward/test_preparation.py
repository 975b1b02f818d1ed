"""Paddle comes in prepared for this machine, and without its own warnings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_paddle_says_nothing_of_its_own(golden: Path, corpus: Path, tmp_path: Path) -> None:
    words = ["quant", "gptq", "--model_name_or_path", str(golden / "llama_v2_gqa")]
    words += ["--output_path", str(tmp_path / "out"), "--input_dir", str(corpus)]
    words += ["--gptq_step", "1", "--group_size", "32", "--skip_list_names", "down"]
    words += ["--max_length", "24"]
    script = "import sys; from llm_cli.main import run; sys.exit(run(sys.argv[1:]))"
    # An empty PATH has no ccache, which Paddle warns of.
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "ccache" not in done.stderr
