"""The command as a user meets it: in a process of its own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cli.main import run


def llm(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llm_cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


NOT_FOR_HELP = {"asyncio", "email", "importlib.metadata", "logging", "rich", "socket", "zipfile"}
"""What takes long to import, or brings much with it, and is not needed to name commands."""


@pytest.mark.parametrize("arguments", [["--help"], ["infer", "--help"], ["train", "--help"]])
def test_help_imports_click_and_descriptions_and_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nfrom llm_cli.main import run\n"
        "run(sys.argv[1:])\nsys.stderr.write('\\n'.join(set(sys.modules) - before))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    imported = set(answer.stderr.split())
    foreign = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("llm_")} == {"click"}
    assert not NOT_FOR_HELP & imported


def test_help_is_fast(tmp_path: Path) -> None:
    """The best of some runs, with bytecode as an installation has it, whatever this shell says.

    Processor time: the wall time of an idle machine, whatever else runs on this one.
    """
    here = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    here.pop("PYTHONDONTWRITEBYTECODE", None)
    assert min(processor_seconds("--help", environment=here) for _ in range(6)) < 0.3


def processor_seconds(*arguments: str, environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert llm(*arguments, environment=environment).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("name", ["convert", "data", "infer", "kernels", "peft", "quant", "train"])
def test_every_package_of_a_full_installation_has_its_commands(name: str) -> None:
    answer = llm(name, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "Broken" not in answer.stdout
    assert "Usage: llm" in answer.stdout


def test_version_lists_every_installed_package() -> None:
    lines = llm("--version").stdout.split("\n")
    assert "llm-toolchain-cli 0.1.0" in lines
    assert any(line.startswith("llm-toolchain-infer ") for line in lines)


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_a_command_whose_package_is_absent_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["xyzzy"]) == 2
    told = capsys.readouterr().err
    assert "tools/install llm-train" in told
    assert "Known: convert, data" in told


def test_a_folder_is_no_config_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "pretrain", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err


def test_a_mistake_of_the_user_shows_no_traceback_unless_asked() -> None:
    plain = llm("infer", "predict", "absent.json")
    assert plain.returncode == 2
    assert plain.stderr.count("\n") == 1
    assert "There is no config file absent.json" in plain.stderr
    assert "Traceback" in llm("infer", "predict", "absent.json", "--debug").stderr


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_without_a_command_there_is_its_help_page(arguments: list[str]) -> None:
    bare, asked = llm(*arguments), llm(*arguments, "--help")
    assert bare.returncode == 2
    assert bare.stdout == ""
    assert bare.stderr.strip("\n") == asked.stdout.strip("\n")
    assert "\033" not in bare.stderr
    assert bare.stderr.lstrip().startswith("Usage: llm")


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["train", "pretrain", "--learning_rate"], "llm train pretrain"),
        (["data", "tokenize", "--nonsense"], "llm data tokenize"),
        (["convert", "--output_path"], "llm convert"),
        (["data", "--nonsense"], "llm data"),
    ],
)
def test_mistakes_name_the_help_page_of_their_command(
    arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{command}: ")
    assert told.endswith(f"See `{command} --help`.\n")


def test_a_mistake_of_ours_ends_its_sentence_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raising(*_: object) -> None:
        message = "the array is not contiguous; make a copy of it."
        raise RuntimeError(message)

    monkeypatch.setattr("llm_cli.main._announced", raising)
    assert run(["--help"]) == 1
    assert "RuntimeError: the array is not contiguous; make a copy of it. This" in (
        capsys.readouterr().err
    )


WRITING = """
import sys, time
from llm_cli.main import unwind_on_sigterm
from llm_cli.outputs import written_folder
unwind_on_sigterm()
with written_folder(sys.argv[1], {}) as folder:
    (folder / "part").write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_sigterm_leaves_nothing_half_written(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.terminate()
        assert process.wait(20) == 143
    assert not list(tmp_path.iterdir())
