"""A hub on 127.0.0.1 that serves one folder as a model, as Hugging Face's hub answers."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it serves, what it was asked, and how it misbehaves.

    `cut`: file -> bytes after which every answer breaks off. `status`: what the model's own page
    answers instead of the list of files. `moved`: where it sends those who ask for weights.
    `etags`: file -> another ETag. `commit`, `header_commit`: what the model's page and every file's
    header call the commit.
    """

    folder: Path
    repo: str = "org/tiny"
    revisions: tuple[str, ...] = ("main", "v1", COMMIT)
    extra: tuple[str, ...] = ()
    cut: dict[str, int] = field(default_factory=dict)
    status: int = 200
    moved: str = ""
    etags: dict[str, str] = field(default_factory=dict)
    commit: str = COMMIT
    header_commit: str = COMMIT
    error: str = ""
    asked: list[str] = field(default_factory=list)
    ranges: dict[str, list[str]] = field(default_factory=dict)
    token: str | None = None
    url: str = ""

    def names(self) -> list[str]:
        here = [path.name for path in self.folder.iterdir() if path.is_file()]
        return sorted([*here, *self.extra])

    def loaded(self) -> set[str]:
        """Files whose content was asked for."""
        return {line.rpartition("/")[2] for line in self.asked if line.startswith("GET /org")}


class Handler(BaseHTTPRequestHandler):
    """The two pages that a download needs: the model's files, and each file."""

    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(send=True)

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, *, send: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        self.hub.token = self.headers.get("Authorization")
        page = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/?]+))?", self.bare_path())
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.bare_path())
        found = page or file
        if found is None or found[1] != self.hub.repo:
            self.refuse(404, "RepoNotFound")
        elif (found[2] or "main") not in self.hub.revisions:
            self.refuse(404, "RevisionNotFound")
        elif page:
            self.list_files()
        elif file:
            self.send_file(self.hub.folder / file[3], send=send)

    def bare_path(self) -> str:
        return self.path.partition("?")[0]

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def list_files(self) -> None:
        if self.hub.status != 200:
            self.refuse(self.hub.status, self.hub.error)
            return
        siblings = [
            {"rfilename": name, "size": path.stat().st_size if path.is_file() else 1}
            for name in self.hub.names()
            for path in [self.hub.folder / name]
        ]
        body = json.dumps(
            {"id": self.hub.repo, "sha": self.hub.commit, "siblings": siblings}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, path: Path, *, send: bool) -> None:
        content = path.read_bytes()
        if self.hub.moved and path.suffix == ".safetensors":
            self.send_response(302)
            self.send_header("Location", self.hub.moved + self.path)
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and send:
            self.hub.ranges.setdefault(path.name, []).append(asked)
            start = int(asked.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        etag = self.hub.etags.get(path.name, hashlib.sha256(content).hexdigest())
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", self.hub.header_commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if not send:
            return
        stop = self.hub.cut.get(path.name, len(content))
        self.wfile.write(content[start : max(start, stop)])
        if stop < len(content):
            self.close_connection = True


@pytest.fixture
def hub(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one tiny Llama in one file, and an empty cache to load it into."""
    constants = pytest.importorskip("huggingface_hub.constants")
    folder = tmp_path / "served"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "pytorch_model.bin"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    for name in ("tokenizer.json", "README.md", "training_args.bin"):
        (folder / name).write_text("{}")
    hub = Hub(folder, extra=("onnx/model.onnx",))
    server = start(hub)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    yield hub
    server.shutdown()
    server.server_close()


def start(hub: Hub) -> ThreadingHTTPServer:
    """Serve in a thread until `shutdown`."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
