"""What every test of the repository may use: where the golden fixtures and the shared material lie."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the golden fixtures, one sub-folder a family (see its README.md)."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """Folder of real tokenizers, texts and models; the test skips where it is absent."""
    folder = ROOT.parent / "shared" / "real"
    if not folder.is_dir():
        pytest.skip(f"needs the real tokenizers and models of {folder}, which is absent")
    return folder
