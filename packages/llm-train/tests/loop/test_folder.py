"""The finished model appears whole, its marker last."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cli.outputs import is_complete, verify_complete
from llm_train.loop.folder import publish


class Files:
    """Writes two files, or fails after the first."""

    def __init__(self, text: str, fails: bool = False) -> None:
        self.text, self.fails = text, fails

    def save(self, folder: Path) -> None:
        """Two files."""
        (folder / "config.json").write_text(self.text)
        if self.fails:
            raise OSError(28, "full")
        (folder / "model.safetensors").write_text(self.text)

    def load(self, folder: Path) -> None:
        """Not needed here."""
        raise NotImplementedError


def test_the_model_replaces_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()
    (tmp_path / "metrics.jsonl").write_text("")
    for text in ("one", "two"):
        publish(tmp_path, Files(text), {"command": text})
        assert is_complete(tmp_path)
        assert verify_complete(tmp_path) == []
        assert (tmp_path / "model.safetensors").read_text() == text
    assert not (tmp_path / ".finished").exists()


def test_a_failure_leaves_the_model_before(tmp_path: Path) -> None:
    publish(tmp_path, Files("good"), {})
    with pytest.raises(OSError, match="full"):
        publish(tmp_path, Files("bad", fails=True), {})
    assert verify_complete(tmp_path) == []
    assert (tmp_path / "config.json").read_text() == "good"
