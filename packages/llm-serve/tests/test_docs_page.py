"""The page that describes the server needs no other machine."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import httpx

import llm_serve
from llm_serve.schema import ChatRequest, CompletionRequest

LOADS = {"src", "href", "action", "data", "srcset"}


class Page(HTMLParser):
    """What a page loads, and the texts of its cells by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.headings: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.loaded += [value or "" for name, value in attrs if name in LOADS]
        assert tag not in ("script", "link", "iframe")

    def handle_data(self, data: str) -> None:
        if self._inside == "th":
            self.headings.append(data)


def test_every_field_and_path_is_there_and_nothing_is_loaded(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    page = Page(answer.text)
    fields = {*CompletionRequest.model_fields, *ChatRequest.model_fields}
    assert fields <= set(page.headings)
    assert "POST /v1/chat/completions" in answer.text
    assert page.loaded == ["openapi.json"]
    assert not re.search(r"(https?:)?//|@import|url\(", answer.text.replace("<!doctype html>", ""))
    described = client.get("/openapi.json").json()
    assert "/docs" not in described["paths"]
    assert all(path in answer.text for path in described["paths"])


def test_no_answer_that_a_browser_shows_names_another_host(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]
    paths = [path for path, methods in described.items() if "get" in methods]
    assert {"/health", "/metrics", "/v1/models"} <= set(paths)
    for path in (*paths, "/docs", "/openapi.json"):
        answer = client.get(path.replace("{name}", "tiny"))
        assert answer.status_code == 200, path
        assert not re.search(r"(https?|wss?)://", answer.text), path
    assert client.get("/redoc").status_code == 404


def test_the_package_holds_no_other_assets() -> None:
    files = [file for file in Path(llm_serve.__file__).parent.rglob("*") if file.is_file()]
    assert {file.suffix or file.name for file in files} <= {".py", ".pyc", ".typed"}
