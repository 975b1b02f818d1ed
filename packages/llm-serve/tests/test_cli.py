"""The command as `llm` sees it."""

from __future__ import annotations

import subprocess
import sys


def test_describing_the_command_imports_nothing_heavy() -> None:
    code = (
        "import sys, llm_serve.cli, llm_serve.options\n"
        "heavy = {'fastapi', 'uvicorn', 'numpy', 'pydantic', 'tokenizers', 'paddle'}\n"
        "print(sorted(heavy & set(sys.modules)), llm_serve.cli.command.name)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[] serve"


def test_help_lists_the_options() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "llm_cli", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "120", "PATH": ""},
    )
    for name in ("--model_name_or_path", "--port", "--api_key", "--max_queue", "--heartbeat"):
        assert name in out.stdout
