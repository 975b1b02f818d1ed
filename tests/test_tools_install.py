"""`tools/install` without installing anything: names, extras, sizes, and that texts name it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALL = ROOT / "tools" / "install"


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, INSTALL, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_closure_is_printed_what_is_needed_first() -> None:
    answer = install("llm-infer[paddle]", "--print")
    assert answer.returncode == 0, answer.stderr
    names = answer.stdout.split()
    assert names[-1] == "llm-infer"
    assert names.index("llm-kernels") < names.index("llm-convert")


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("llm-infer[foo]", "llm-infer has no extra 'foo'; there are paddle."),
        ("llm-data[zst,zts]", "llm-data has no extra 'zts'; there are sentencepiece"),
        ("llm-quant[x]", "llm-quant has no extra 'x'; there are none."),
        ("llm-nothing", "no package 'llm-nothing'"),
    ],
)
def test_what_is_unknown_is_refused(package: str, said: str) -> None:
    answer = install(package, "--print")
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert said in answer.stderr


def test_the_size_is_that_of_the_files(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    (packages / "inner").mkdir(parents=True)
    (packages / "inner" / "a").write_bytes(bytes(2_000_000))
    (packages / "b").write_bytes(bytes(1_000_000))
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {packages}\n")
    python.chmod(0o755)
    size = runpy.run_path(str(INSTALL))["installed_size"]
    assert size(str(python)) == f"{packages} takes 3 MB now."


def test_no_text_installs_by_name() -> None:
    """Our names on the public index are not ours."""
    texts = [ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")]
    texts += [*ROOT.glob("packages/*/src/llm_*/**/*.py"), *ROOT.glob("tools/*/src/**/*.py")]
    assert len(texts) > 300
    found = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in texts
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"pip install\W+llm-", line)
    ]
    assert found == []
