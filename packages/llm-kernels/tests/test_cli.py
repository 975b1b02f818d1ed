from __future__ import annotations

import subprocess
import sys

import pytest

from llm_kernels.cli import command, doctor


@pytest.mark.parametrize("entry", [*command.commands, doctor], ids=lambda entry: entry.name)
def test_every_command_names_options_and_a_function_that_exist(entry: object) -> None:
    assert callable(entry.load_run())  # type: ignore[attr-defined]
    assert entry.load_options().__doc__  # type: ignore[attr-defined]


def test_describing_the_commands_imports_no_numpy() -> None:
    code = "import sys, llm_kernels.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_exit_code_of_a_failed_doctor_reaches_the_shell() -> None:
    code = (
        "import sys; sys.modules['llm_kernels._native'] = None; "
        "from llm_cli.main import main; sys.argv = ['llm', 'doctor']; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PROBLEM" in done.stdout
