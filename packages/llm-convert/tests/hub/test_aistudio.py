"""AI Studio's library is called for what a model needs; it is replaced by one that copies files."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aistudio_sdk")

from llm_convert.errors import ConvertError
from llm_convert.hub import resolve_model
from llm_convert.hub.aistudio import companions
from llm_convert.hub.wanted import small_files
from llm_convert.model import open_model
from llm_convert.saving import COMPANIONS


class Studio:
    """Stands for `aistudio_sdk.hub.download`: files of one folder, linked into a cache."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self.cache = cache
        self.asked: list[dict[str, Any]] = []

    def download(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        source = self.folder / asked["filename"]
        if asked["repo_id"] != "org/tiny" or not source.is_file():
            return {"error_code": 10001, "error_msg": "no such file"}
        self.cache.mkdir(exist_ok=True)
        shutil.copy(source, self.cache)
        print("The file already exists")  # noqa: T201 - as the library does
        return {"path": str(self.cache / asked["filename"])}


@pytest.fixture
def studio(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    (folder / "tokenizer.json").write_text("{}")
    studio = Studio(folder, tmp_path / "cache")
    monkeypatch.setattr("aistudio_sdk.hub.download", studio.download)
    monkeypatch.chdir(tmp_path)
    for word in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(word, raising=False)
        monkeypatch.delenv(word.upper(), raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("STUDIO_GIT_HOST", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield studio


def test_a_model_of_one_file(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(resolve_model("org/tiny@v2", from_aistudio=True))
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "tokenizer.json", "model.safetensors"}
    assert open_model(folder).spec.name == "llama"
    assert {asked["revision"] for asked in studio.asked} == {"v2"}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "name",
    ["qwen.tiktoken", "ice_text.model", "sentencepiece.bpe.model", "chat_template.jinja"],
)
def test_what_a_tokenizer_needs_comes_too(studio: Studio, name: str) -> None:
    (studio.folder / name).write_text("text")
    folder = Path(resolve_model("org/tiny", from_aistudio=True))
    assert (folder / name).read_text() == "text"


def test_every_pattern_of_companions_stands_for_names_that_it_fits() -> None:
    names = companions()
    assert sorted(set(names)) == sorted(names) == small_files(names)
    assert not any(mark in name for name in names for mark in "*?[")
    for pattern in COMPANIONS:
        assert any(fnmatchcase(name, pattern) for name in names)


def test_a_model_of_shards(studio: Studio, golden: Path) -> None:
    (studio.folder / "model.safetensors").unlink()
    for path in (golden / "llama_v2_gqa" / "sharded").glob("model*"):
        shutil.copy(path, studio.folder)
    folder = resolve_model("org/tiny", from_aistudio=True)
    assert open_model(folder).parameters
    assert all("revision" not in asked for asked in studio.asked)


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        ("config.json", r"gives no config\.json for that name .no such file"),
        ("model.safetensors", r"has none of model\.safetensors, .*no such file"),
    ],
)
def test_what_is_not_there(missing: str, text: str, studio: Studio) -> None:
    (studio.folder / missing).unlink()
    with pytest.raises(ConvertError, match=text):
        resolve_model("org/tiny", from_aistudio=True)


def test_a_missing_shard(studio: Studio, golden: Path) -> None:
    (studio.folder / "model.safetensors").unlink()
    for path in (golden / "llama_v2_gqa" / "sharded").glob("model*"):
        shutil.copy(path, studio.folder)
    (studio.folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ConvertError, match=r"model-00002-of-00002\.safetensors of org/tiny could"):
        resolve_model("org/tiny", from_aistudio=True)


def test_without_network(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_GIT_HOST", "http://127.0.0.1:1")
    started = time.monotonic()
    with pytest.raises(ConvertError, match=r"AI Studio .127\.0\.0\.1:1. does not answer"):
        resolve_model("org/tiny", from_aistudio=True)
    assert time.monotonic() - started < 5
    assert studio.asked == []


def test_without_network_behind_a_proxy(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("STUDIO_GIT_HOST", "http://studio.example")
        started = time.monotonic()
        with pytest.raises(ConvertError, match=r"AI Studio .studio\.example. does not answer"):
            resolve_model("org/tiny", from_aistudio=True)
    assert time.monotonic() - started < 5
    assert studio.asked == []
