"""`llm convert` killed in the middle: what stood at the output stays, the next run cleans up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_cli.main import run
from llm_cli.outputs import is_complete, verify_complete
from llm_convert.model import open_model

# Kills itself, as `kill -9` does, before what is called the n-th time.
KILLED = """
import os, signal, sys
from llm_cli.main import run
from llm_cli import outputs
from llm_convert.files.array_writer import ArrayWriter
owner, name = {"piece": (ArrayWriter, "_put"), "marker": (outputs, "mark_complete"),
               "swap": (outputs, "swap")}[sys.argv[1]]
left, real = int(sys.argv[2]), getattr(owner, name)
def step(*arguments, **options):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(owner, name, step)
run(sys.argv[3:])
"""


def arguments(source: Path, output: Path, *more: str) -> list[str]:
    named = ("--from-torch", str(source), "--output_path", str(output), "--verify", "false")
    return ["convert", *named, "--max_shard_size", "100KB", *more]


def killed(where: str, count: int, words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, where, str(count), *words], check=False, capture_output=True
    )
    assert done.returncode == -9, done.stderr


@pytest.mark.parametrize(("where", "count"), [("piece", 1), ("piece", 9), ("marker", 1)])
def test_nothing_is_at_the_output_and_the_next_run_clears(
    golden: Path, tmp_path: Path, where: str, count: int
) -> None:
    source, output = golden / "llama_v2_gqa", tmp_path / "out"
    killed(where, count, arguments(source, output))
    assert not output.exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.")
    assert run(arguments(source, output)) == 0
    assert verify_complete(output) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("where", ["piece", "swap"])
def test_an_earlier_output_stays(golden: Path, tmp_path: Path, where: str) -> None:
    output = tmp_path / "out"
    assert run(arguments(golden / "llama_v2_gqa", output)) == 0
    killed(where, 1, arguments(golden / "llama_v3", output, "--overwrite"))
    assert verify_complete(output) == []
    assert open_model(output).sizes == open_model(golden / "llama_v2_gqa").sizes
    assert run(arguments(golden / "llama_v3", output, "--overwrite")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_whole_takes_its_place(golden: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    killed("swap", 1, arguments(golden / "llama_v2_gqa", output))
    assert not output.exists()
    # The next run finds it, says so, and refuses to replace it unasked.
    assert run(arguments(golden / "llama_v2_gqa", output)) == 2
    assert is_complete(output)
    assert open_model(output).naming == "paddlenlp"


def test_two_at_once_into_one_new_folder(golden: Path, tmp_path: Path) -> None:
    """One of them is first; the other one says so, and nothing of it stays."""
    output = tmp_path / "out"
    words = arguments(golden / "llama_v2_gqa", output)
    program = "import sys; from llm_cli.main import run; sys.exit(run(sys.argv[1:]))"
    started = [
        subprocess.Popen([sys.executable, "-c", program, *words], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [process.communicate()[1] for process in started]
    assert sorted(process.returncode for process in started) == [0, 2, 2]
    for process, said in zip(started, told, strict=True):
        late = "Another run has written" in said or "is not empty" in said
        assert late is (process.returncode == 2), said
    assert verify_complete(output) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
