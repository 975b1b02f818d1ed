"""One path or several with names, and which of them a request means."""

from __future__ import annotations

import pytest

from llm_infer.errors import UnsupportedError
from llm_infer.named_paths import chosen, named_paths


def test_one_without_a_name_or_several_with(tmp_path):
    for name in ("a", "b", "x=y"):
        (tmp_path / name).mkdir()
    assert named_paths("o", []) == {}
    assert named_paths("o", [str(tmp_path / "a")]) == {"default": str(tmp_path / "a")}
    two = named_paths("o", [f"one={tmp_path / 'a'}", f"two={tmp_path / 'b'}"])
    assert two == {"one": str(tmp_path / "a"), "two": str(tmp_path / "b")}
    # A path that is there is no name.
    assert named_paths("o", [str(tmp_path / "x=y")]) == {"default": str(tmp_path / "x=y")}
    for wrong in ([f"one={tmp_path / 'absent'}"], [f"={tmp_path / 'a'}"], ["absent"], ["n="]):
        with pytest.raises(UnsupportedError, match=r"does not exist. Give PATH or NAME=PATH"):
            named_paths("o", wrong)
    with pytest.raises(UnsupportedError, match="name each"):
        named_paths("o", [str(tmp_path / "a"), str(tmp_path / "b")])


def test_the_only_one_unless_another_is_asked_for():
    assert chosen("o", {}, None) is None
    assert chosen("o", {"default": "p"}, None) == "default"
    assert chosen("o", {"one": "p"}, None) == "one"
    assert chosen("o", {"one": "p", "two": "q"}, "two") == "two"
    with pytest.raises(UnsupportedError, match="none was chosen"):
        chosen("o", {"one": "p", "two": "q"}, None)
    for asked in ("three", ["one"], 3):
        with pytest.raises(UnsupportedError, match="--o names one, two"):
            chosen("o", {"one": "p", "two": "q"}, asked)
    with pytest.raises(UnsupportedError, match="no --o was given"):
        chosen("o", {}, "one")
