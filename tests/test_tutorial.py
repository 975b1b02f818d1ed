"""The commands of the README, run as they stand there, in an empty folder, one after the other."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parent.parent


def blocks() -> list[str]:
    """The fenced blocks of the README, in their order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```(?:sh|json)?\n(.*?)```", text, re.S)


def block_with(start: str) -> str:
    """The block whose first command begins so."""
    (found,) = [b for b in blocks() if b.startswith(start) or f"\n{start}" in b]
    return found


def prepare(folder: Path) -> None:
    """The files that the README says a user brings."""
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = [file.read_text(encoding="utf-8") for file in sorted(library.glob("*.py"))[:60]]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text(block_with('{\n  "architectures"'))
    (folder / "sft").mkdir()
    for part, count in (("train", 64), ("dev", 8)):
        rows = [{"src": f"def add_{i}(a):\n", "tgt": f"Add {i} to a."} for i in range(count)]
        (folder / "sft" / f"{part}.json").write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's first shell block was run."""
    folder = tmp_path_factory.mktemp("tutorial")
    prepare(folder)
    answer = subprocess.run(
        ["bash", "-euxc", block_with("llm data train-tokenizer")],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr[-6000:]
    assert "Traceback" not in answer.stderr
    return folder


def environment() -> dict[str, str]:
    """This process's, with the commands of its own environment first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path}


def test_the_readme_leads_from_text_to_an_answer(lived: Path) -> None:
    for output in ("tokenizer", "base", "lora", "merged", "int4", "merged-hf"):
        assert (lived / output / "COMPLETE").is_file(), output
        assert json.loads((lived / output / "llm.json").read_text())["command"]
    assert (lived / "base" / "loss.png").read_bytes().startswith(b"\x89PNG")
    losses = [row["loss"] for row in metrics(lived / "base") if "loss" in row]
    assert losses[-1] < 6.0, "a uniform guess over 1,024 tokens has 6.93"
    weights = (lived / "int4" / "model.safetensors").stat().st_size
    assert weights < (lived / "merged" / "model.safetensors").stat().st_size


def metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_readmes_server_answers_the_readmes_request(lived: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [word.replace("8011", port) for word in shlex.split(block_with("llm serve"))]
    curl = shlex.split(block_with("curl").replace("8011", port).replace("\\\n", " "))
    with subprocess.Popen(words, cwd=lived, env=environment(), stderr=subprocess.PIPE) as server:
        try:
            wait_until_ready(f"http://127.0.0.1:{port}/ready")
            answer = httpx.post(
                curl[1],
                headers=dict([curl[curl.index("-H") + 1].split(": ")]),
                content=curl[curl.index("-d") + 1],
            )
        finally:
            server.terminate()
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    texts = [json.loads(event[6:])["choices"][0]["text"] for event in events[:-1]]
    assert "".join(texts)
    assert server.returncode == 0


def wait_until_ready(url: str) -> None:
    """Until the server says so; at most a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} was not ready within a minute")


def test_the_readmes_installations_name_what_they_need() -> None:
    lines = block_with("tools/install llm-infer").splitlines()
    assert lines
    for line in lines:
        command = [sys.executable, *shlex.split(line), "--print"]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        names = answer.stdout.split()
        assert names[0] == "llm-cli"
        assert not {"llm-train", "llm-peft", "llm-quant"} & set(names)
