"""Twenty kills at random moments, then the losses that nobody would have disturbed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_ends_as_one_that_is_not(repository: Path) -> None:
    script = repository / "packages" / "llm-train" / "benchmarks" / "soak.py"
    command = [sys.executable, str(script), "--kills", "20", "--seed", "4", "--only", "one"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = re.search(r"kills (\d+).*difference of a loss (\S+)", done.stdout)
    assert found is not None
    assert int(found[1]) >= 20
    # One process goes on bit by bit.
    assert float(found[2]) == 0.0
