"""How to get an extra is told by `tools/install`: our names on the public index are not ours."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from llm_convert.errors import ConvertError
from llm_convert.foreign import gguf_module

PACKAGE = Path(__file__).resolve().parents[1]


def test_no_text_installs_by_name() -> None:
    texts = [PACKAGE / "README.md", *(PACKAGE / "src" / "llm_convert").rglob("*.py")]
    found = [
        f"{path.name}: {line}"
        for path in texts
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"pip install\W+llm-", line)
    ]
    assert found == []
    assert len(texts) > 50


def test_without_the_package_gguf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "llm_convert.foreign.gguf_reading", raising=False)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ConvertError, match=r'tools/install "llm-convert\[gguf\]"'):
        gguf_module("reading")
