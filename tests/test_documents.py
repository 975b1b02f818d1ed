"""Derived pages are current, and the commands of the README exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("packages/*/README.md")]


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_derived_pages_are_current() -> None:
    stale = [
        path.name
        for path, text in loaded(ROOT / "tools" / "document.py").pages().items()
        if path.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `python tools/document.py`: {stale}"


def documented_commands() -> list[tuple[str, str]]:
    """Every command line of a fenced block, as (page, line); continued lines are joined."""
    found = []
    for page in PAGES:
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
        for block in (text for language, text in blocks if language in ("", "sh", "bash")):
            for line in block.replace("\\\n", " ").splitlines():
                words = line.split("#")[0].strip().removeprefix("$ ")
                if words:
                    found.append((str(page.relative_to(ROOT)), words))
    return found


@pytest.mark.parametrize(("page", "line"), documented_commands())
def test_a_documented_command_exists_with_its_options(page: str, line: str) -> None:
    words = shlex.split(line)
    if words[0] == "llm":
        names = [word for word in words[1:] if word.startswith("--")]
        path = [word for word in words[1:3] if re.fullmatch(r"[a-z][a-z-]*", word)]
        help_page = subprocess.run(
            [sys.executable, "-m", "llm_cli", *path, "--help"],
            capture_output=True,
            text=True,
            check=False,
            env={"COLUMNS": "400", "PATH": ""},
        )
        assert help_page.returncode == 0, help_page.stderr
        known = set(re.findall(r"--[\w-]+", help_page.stdout.replace("-", "-")))
        known = {name.replace("-", "_") for name in known}
        for name in names:
            assert name.replace("-", "_") in known, f"{page}: {name} of `{line}`"
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        assert words[1] in targets
    elif words[0].startswith("tools/"):
        assert (ROOT / words[0]).is_file()
