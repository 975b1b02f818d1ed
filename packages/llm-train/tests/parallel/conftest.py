"""Runs of several processes, started once for all tests of this folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from plan_of_runs import jobs  # noqa: E402


@pytest.fixture(scope="session")
def herd() -> Callable[[list[dict[str, Any]], Path], None]:
    """Runs jobs (see herd.py) and fails with what their processes said where one does not end."""

    def run(jobs: list[dict[str, Any]], folder: Path) -> None:
        for number, job in enumerate(jobs):
            job["log"] = str(folder / f"job{number}")
        (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        command = [sys.executable, str(HERE / "herd.py"), str(folder / "jobs.json")]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode:
            said = [f"{path.name}:\n{path.read_text()[-3000:]}" for path in folder.glob("job?.?")]
            pytest.fail("\n".join([done.stderr[-2000:], *said]))

    return run


@pytest.fixture(scope="session")
def runs(herd: Callable[..., None], golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the quick runs of `plan_of_runs`."""
    folder = tmp_path_factory.mktemp("runs")
    herd(jobs(golden, folder, slow=False), folder)
    return folder


@pytest.fixture(scope="session")
def more_runs(
    herd: Callable[..., None], golden: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of the slow runs."""
    folder = tmp_path_factory.mktemp("more_runs")
    herd(jobs(golden, folder, slow=True), folder)
    return folder
