"""The finished model appears whole, its marker last; a kill on the way loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_cli.outputs import is_complete, verify_complete
from llm_train.loop.publish import finish_publishing, publish


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


def test_no_file_of_the_model_before_stays(tmp_path: Path) -> None:
    class More(Files):
        def save(self, folder: Path) -> None:
            super().save(folder)
            (folder / "chat_template.json").write_text("{}")

    (tmp_path / "mine.txt").write_text("not listed, so not removed")
    publish(tmp_path, More("one"), {})
    publish(tmp_path, Files("two"), {})
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["COMPLETE", "config.json", "llm.json", "mine.txt", "model.safetensors"]
    assert verify_complete(tmp_path) == []


@pytest.mark.parametrize("moves", range(5))
def test_publishing_that_was_killed_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """The kill comes after 0, 1, ... moved files, or before `.finished` is removed."""
    publish(tmp_path, Files("old"), {})
    replace = Path.replace
    left = moves

    def killed(self: Path, place: Path) -> Path:
        nonlocal left
        if self.parent.name == ".finished":
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
        return replace(self, place)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        if moves == 4:
            patch.setattr("llm_train.loop.publish.shutil.rmtree", lambda _: None)
            publish(tmp_path, Files("new"), {})
        else:
            with pytest.raises(KeyboardInterrupt):
                publish(tmp_path, Files("new"), {})
            assert not is_complete(tmp_path)
    assert (tmp_path / ".finished").exists()
    finish_publishing(tmp_path)
    assert verify_complete(tmp_path) == []
    assert (tmp_path / "model.safetensors").read_text() == "new"
    assert not (tmp_path / ".finished").exists()


def test_a_half_written_model_is_removed(tmp_path: Path) -> None:
    publish(tmp_path, Files("good"), {})
    (tmp_path / "..finished.12ab.tmp").mkdir()
    (tmp_path / "..finished.12ab.tmp" / "config.json").write_text("half")
    finish_publishing(tmp_path)
    assert not (tmp_path / "..finished.12ab.tmp").exists()
    assert (tmp_path / "config.json").read_text() == "good"
