"""What is a path and what a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_convert.errors import ConvertError
from llm_convert.hub import resolve_model
from llm_convert.hub.resolve import HubName, hub_name
from llm_convert.model import open_model


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen2.5-0.5B", HubName("Qwen/Qwen2.5-0.5B", None)),
        ("org/name@v1.0", HubName("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubName("org/name", "refs/pr/3")),
        ("gpt2", None),
        ("./org/name", None),
        ("../name", None),
        ("/org/name", None),
        ("~/name", None),
        ("a/b/c", None),
        ("org/name@", None),
        ("org/na me", None),
        ("org/", None),
    ],
)
def test_what_can_be_a_name(text: str, expected: HubName | None) -> None:
    assert hub_name(text) == expected


def test_folders_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("org/name") == "org/name"
    assert resolve_model(tmp_path / "org") == str(tmp_path / "org")


def test_a_missing_folder_of_a_folder_that_is_here_stays_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_model("checkpoints/nmae") == "checkpoints/nmae"
    with pytest.raises(
        ConvertError, match=r"folder checkpoints/nmae does not exist\. Check the path"
    ):
        open_model(resolve_model("checkpoints/nmae"))
