"""Options: what is checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_serve.errors import ServeError
from llm_serve.options import KEY_VARIABLE, ServeOptions


def test_the_name_is_the_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServeOptions(model_name_or_path="a/my-model/").served_model_name == "my-model"
    named = ServeOptions(model_name_or_path="a/my-model", served_model_name="chat")
    assert named.served_model_name == "chat"
    monkeypatch.chdir(tmp_path)
    assert ServeOptions(model_name_or_path=".").served_model_name == tmp_path.name


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "from-outside")
    assert ServeOptions(model_name_or_path="m").api_key == "from-outside"
    assert ServeOptions(model_name_or_path="m", api_key="given").api_key == "given"
    monkeypatch.setenv(KEY_VARIABLE, "")
    assert ServeOptions(model_name_or_path="m").api_key is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", -1),
        ("port", 70000),
        ("max_concurrency", 0),
        ("max_queue", -1),
        ("request_timeout", -1.0),
        ("heartbeat", 0.0),
        ("shutdown_timeout", -0.1),
        ("block_size", 0),
        ("num_blocks", 0),
        ("threads", 0),
    ],
)
def test_values_out_of_range_name_the_option(field: str, value: float) -> None:
    with pytest.raises(ServeError, match=f"--{field} is {value}"):
        ServeOptions(model_name_or_path="m", **{field: value})
