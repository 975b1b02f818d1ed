"""Files of torch before 1.6, made by hand; tests/oracles has those that torch makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_convert.errors import FileFormatError, UnsafePickleError
from llm_convert.files.torch_file import open_torch

CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "torch"


def test_tensors_are_views_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes((CORPUS / "plain-legacy").read_bytes())
    read = open_torch(path)
    assert list(read) == ["a"]
    np.testing.assert_array_equal(read["a"], np.arange(12, dtype=np.float32).reshape(3, 4))
    assert not read["a"].flags.owndata


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hostile-legacy-short", "storage 0 is not there"),
        ("hostile-legacy-outside", "ends outside its storage"),
        ("hostile-legacy-view", "before 0.4"),
        ("hostile-bare", "not one of torch"),
    ],
)
def test_files_that_lie_are_refused(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes((CORPUS / name).read_bytes())
    with pytest.raises(FileFormatError, match=message):
        open_torch(path)


def test_nothing_is_called(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes((CORPUS / "hostile-legacy-system").read_bytes())
    with pytest.raises(UnsafePickleError, match="system"):
        open_torch(path)


def test_truncation_is_refused_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    whole = (CORPUS / "plain-legacy").read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            open_torch(path)
