"""The command's description imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

from llm_convert.cli import command


def test_the_command_can_be_loaded() -> None:
    assert command.load_options().__name__ == "ConvertOptions"
    assert callable(command.load_run())


def test_describing_the_command_imports_no_numpy() -> None:
    program = (
        "import sys, llm_convert.cli, llm_convert.convert.options; "
        "heavy = {'numpy', 'ml_dtypes', 'paddle', 'torch', 'safetensors'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
