"""The description of the commands loads nothing heavy, and every target of it exists."""

from __future__ import annotations

import subprocess
import sys

from llm_cli.options import option_specs
from llm_quant.cli import command


def test_description_and_options_import_neither_numpy_nor_paddle() -> None:
    program = (
        "import sys; from llm_quant.cli import command\n"
        "for entry in command.commands: entry.load_options()\n"
        "heavy = {'numpy', 'paddle', 'tokenizers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_targets_exist_and_every_option_is_explained() -> None:
    for entry in command.commands:
        assert callable(entry.load_run())
        assert all(len(spec.help) > 8 for spec in option_specs(entry.load_options()))
