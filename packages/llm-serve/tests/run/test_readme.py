"""The commands and requests of the README, run as they stand there, from top to bottom."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from llm_infer.load import open_model

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PORT = "8011"
LLM = [sys.executable, "-m", "llm_cli"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands() -> list[list[str]]:
    """The shell's commands, each as its words."""
    text = "".join(blocks("sh")).replace("\\\n", " ")
    parts = re.split(r"^(?=llm |curl )", text, flags=re.M)
    return [shlex.split(part) for part in parts if part.strip()]


@pytest.fixture
def folder(
    golden: Path, tiny_model: Path, tokenizer_folder: Path, tmp_path: Path
) -> Iterator[Path]:
    """What the README's user brings, under path/to."""
    there = tmp_path / "path" / "to"
    shutil.copytree(tiny_model, there / "model")
    shutil.copy(tokenizer_folder / "chat_template.json", there / "model")
    for name in ("sql", "story"):
        shutil.copytree(golden / "lora_llama_v2_gqa", there / f"{name}-lora")
    sizes = open_model(tiny_model).sizes
    for name in ("polite", "terse"):
        (there / f"{name}-prefix").mkdir()
        caches = np.ones((sizes.layers, 2, sizes.kv_heads, 3, sizes.head_dim), np.float32)
        np.save(there / f"{name}-prefix" / "pre_caches.npy", caches)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


class Running:
    """The server of the last `llm serve`."""

    process: subprocess.Popen[str] | None = None
    url = ""

    def start(self, words: list[str]) -> None:
        self.stop()
        assert words[words.index("--port") + 1] == PORT
        words = ["0" if word == PORT else word for word in words[1:]]
        self.process = subprocess.Popen([*LLM, *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[2].rstrip(";")
        end = time.monotonic() + 30
        while httpx.get(f"{self.url}/ready").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.communicate(timeout=20)
            assert self.process.returncode == 0

    def request(self, words: list[str]) -> str:
        """Send what curl would."""
        url = words[1].replace(f"http://127.0.0.1:{PORT}", self.url)
        if len(words) == 2:
            answer = httpx.get(url)
        else:
            assert words[2::2] == ["-H", "-d"]
            name, value = words[3].split(": ")
            answer = httpx.post(url, content=words[5].encode(), headers={name: value})
        assert answer.status_code == 200, answer.text
        return answer.text


def check(words: list[str], text: str) -> None:
    """An answer has what its request asked for."""
    if words[1].endswith("/v1/models"):
        names = [card["id"] for card in json.loads(text)["data"]]
        assert names == ["base", "sql", "story", "polite", "terse"]
        return
    asked: dict[str, Any] = json.loads(words[5])
    if asked.get("stream"):
        *_, last, done, empty = text.split("\n\n")
        assert (done, empty) == ("data: [DONE]", "")
        assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"]
        return
    body = json.loads(text)
    assert body["model"] == asked.get("model", body["model"])
    assert len(body["choices"]) == asked.get("n", 1)
    assert all(bool(choice["logprobs"]) == ("logprobs" in asked) for choice in body["choices"])


def test_every_command_and_request(folder: Path) -> None:
    server, seen = Running(), []
    try:
        for words in commands():
            seen.append(words[:2])
            if words[:2] == ["llm", "serve"]:
                server.start(words)
            elif words[0] == "llm":
                subprocess.run([*LLM, *words[1:]], check=True, cwd=folder)
            else:
                check(words, server.request(words))
        assert [words[0] for words in seen].count("curl") == 10
        assert seen.count(["llm", "serve"]) == 4
    finally:
        server.stop()


def test_the_python_example(folder: Path, serve: Callable[[FastAPI], httpx.Client]) -> None:
    assert (folder / "path/to/model").is_dir()
    (example,) = blocks("python")
    names: dict[str, Any] = {}
    exec(example, names)
    try:
        client = serve(names["app"])
        answer = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 2})
        assert (answer.status_code, answer.json()["model"]) == (200, "my-model")
    finally:
        names["state"].model().engine.close()


def test_every_field_of_the_readme_exists_and_the_other_way_round() -> None:
    from llm_serve.schema import ChatRequest, CompletionRequest

    text = README[README.index("## Fields") : README.index("## What it promises")]
    told = set(re.findall(r"`(\w+)`", text))
    fields = {*ChatRequest.model_fields, *CompletionRequest.model_fields}
    assert fields - told <= {"tool_choice"}
    refused = {*ChatRequest.unused, *CompletionRequest.unused} - {"tool_choice"}
    assert refused == {"best_of", "suffix", "tools", "response_format"}
