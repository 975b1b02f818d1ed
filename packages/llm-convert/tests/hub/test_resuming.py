"""Weights in parts: what is there is gone on with, and checked."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

constants = pytest.importorskip("huggingface_hub.constants")

from llm_convert.errors import ConvertError  # noqa: E402
from llm_convert.hub import resolve_model, resuming  # noqa: E402

WEIGHTS = "model.safetensors"


@pytest.fixture
def part(hub: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is left of a download that broke off after 256 KiB."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 16)
    hub.cut[WEIGHTS] = 4 << 16
    with pytest.raises(ConvertError, match="could not be loaded"):
        resolve_model("org/tiny")
    hub.cut.clear()
    hub.ranges.clear()
    (part,) = (Path(constants.HF_HUB_CACHE) / "models--org--tiny" / "blobs").glob("*.incomplete")
    assert part.stat().st_size == 4 << 16
    return part


def test_only_the_rest_is_asked_for(hub: Any, part: Path) -> None:
    folder = Path(resolve_model("org/tiny"))
    assert hub.ranges[WEIGHTS] == [f"bytes={4 << 16}-"]
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()
    assert (folder / WEIGHTS).resolve().parent == part.parent.resolve()
    assert not part.exists()


def test_a_part_that_has_changed_is_found_out(hub: Any, part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[1000] ^= 1
    part.write_bytes(content)
    with pytest.raises(ConvertError, match=r"model\.safetensors arrived damaged: its SHA-256 is"):
        resolve_model("org/tiny")
    assert not part.exists()
    folder = Path(resolve_model("org/tiny"))
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_a_part_longer_than_the_file_is_begun_again(hub: Any, part: Path) -> None:
    part.write_bytes(bytes(10 << 20))
    folder = Path(resolve_model("org/tiny"))
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_a_whole_part_needs_no_more_bytes(hub: Any, part: Path) -> None:
    part.write_bytes((hub.folder / WEIGHTS).read_bytes())
    hub.asked.clear()
    folder = Path(resolve_model("org/tiny"))
    assert f"GET /org/tiny/resolve/{folder.name}/{WEIGHTS}" not in hub.asked
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_another_host_gets_no_token(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub keeps contents elsewhere; that place must not learn who asks."""
    conftest = sys.modules[type(hub).__module__]
    elsewhere = type(hub)(hub.folder)
    server = conftest.start(elsewhere)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.moved = elsewhere.url
    try:
        folder = Path(resolve_model("org/tiny"))
    finally:
        server.shutdown()
        server.server_close()
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()
    assert any(line.endswith(WEIGHTS) and "GET" in line for line in elsewhere.asked)
    assert elsewhere.token is None
    assert hub.token == "Bearer hf_secret"


@pytest.mark.parametrize("file", [WEIGHTS, "config.json"])
@pytest.mark.parametrize(
    "etag", ["../../../escaped", "{root}/escaped", "a/b", "x" * 129, "..", "a.b"]
)
def test_an_etag_leads_nowhere(hub: Any, tmp_path: Path, file: str, etag: str) -> None:
    hub.etags[file] = etag.format(root=tmp_path)
    with pytest.raises(ConvertError, match=rf"as the ETag of {file}; .*Check HF_ENDPOINT"):
        resolve_model("org/tiny")
    left = {path.name for path in tmp_path.rglob("*")}
    assert not any("escaped" in name for name in left)


@pytest.mark.parametrize("field", ["commit", "header_commit"])
def test_a_commit_leads_nowhere(hub: Any, tmp_path: Path, field: str) -> None:
    setattr(hub, field, "../../../escaped")
    with pytest.raises(ConvertError, match=r"'\.\./\.\./\.\./escaped' as the commit of"):
        resolve_model("org/tiny")
    assert not (tmp_path / "escaped").exists()
    assert not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))


def test_two_at_once_load_it_once(hub: Any) -> None:
    folders: list[str] = []
    threads = [
        threading.Thread(target=lambda: folders.append(resolve_model("org/tiny"))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    loads = [line for line in hub.asked if line.startswith("GET") and line.endswith(WEIGHTS)]
    assert len(loads) == 1


@pytest.mark.parametrize("able", [True, False])
def test_what_the_library_loads_in_chunks_is_left_to_it(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    class Found:
        etag, size, location, xet_file_data = "e", 1, "http://x", object()
        commit_hash = None

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: Found)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if able else None)
    begun: list[Path] = []

    def go_on(part: Path, *_: object) -> None:
        begun.append(part)
        part.touch()

    monkeypatch.setattr(resuming, "_go_on", go_on)
    resuming.bring("org/tiny", WEIGHTS, revision=None, endpoint=hub.url, blobs=tmp_path / "b" / "b")
    assert bool(begun) is not able
