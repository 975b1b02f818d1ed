"""Real weights, loaded and served by the command: the answers are the reference's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from llm_data.tokenizer import load_tokenizer
from llm_infer.engine import SamplingParams
from llm_serve.model import load_model
from llm_serve.options import ServeOptions
from llm_serve.run import listen

LLM = [sys.executable, "-m", "llm_cli"]


@pytest.fixture(scope="module")
def model_folder(
    golden: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The golden Llama, with a tokenizer of one id a byte."""
    folder = tmp_path_factory.mktemp("served") / "tiny-llama"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(golden / "llama_v2_gqa" / name, folder)
    tokenizer = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    # The model knows 256 ids: the four special tokens would lie beyond them.
    tokenizer["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_a_model_is_loaded_as_the_options_say(model_folder: Path, tokenizer_folder: Path) -> None:
    path = str(model_folder)
    plain = load_model(ServeOptions(model_name_or_path=path, num_blocks=3, block_size=16))
    try:
        assert (plain.name, plain.context_length, plain.template) == ("tiny-llama", 48, None)
        prompt = plain.tokenizer.encode("hello")
        stream = plain.engine.submit(prompt, SamplingParams(max_new_tokens=3, ignore_eos=True))
        assert len([event for event in stream if event.token_id is not None]) == 3
    finally:
        plain.engine.close()
    template = str(tokenizer_folder / "chat_template.json")
    options = ServeOptions(model_name_or_path=path, num_blocks=1, chat_template=template)
    chatting = load_model(options)
    chatting.engine.close()
    assert chatting.template is not None


class Process:
    """A running `llm serve` and its address."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [*LLM, "serve", "--model_name_or_path", str(folder), "--port", "0", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Listening on http://"), line + self.process.communicate()[1]
        self.url = line.split()[2].rstrip(";")

    def wait_until_ready(self) -> None:
        end = time.monotonic() + 20
        while httpx.get(f"{self.url}/ready").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; the exit code and the rest of standard error."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def server(model_folder: Path) -> Iterator[Process]:
    """One server for the tests that only ask."""
    made = Process(model_folder, "--num_blocks", "64", "--max_concurrency", "4")
    made.wait_until_ready()
    yield made
    code, errors = made.stop()
    assert code == 0, errors


@pytest.mark.parametrize("row", [0, 1])
def test_a_stream_equals_the_reference(
    server: Process, golden: Path, model_folder: Path, row: int
) -> None:
    fixture = np.load(golden / "llama_v2_gqa" / "golden.npz")
    prompt = fixture[f"prompt_{row}"].tolist()
    wanted = fixture["generated"][row].tolist()
    ask = {"model": "tiny-llama", "prompt": prompt, "max_tokens": len(wanted), "temperature": 0}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    text, last = "", {}
    with httpx.stream("POST", f"{server.url}/v1/completions", json={**ask, **options}) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines.pop() == "data: [DONE]"
    for line in lines:
        last = json.loads(line.removeprefix("data: "))
        text += "".join(choice["text"] for choice in last["choices"])
    tokenizer = load_tokenizer(model_folder)
    assert text == tokenizer.decode(prompt + wanted)[len(tokenizer.decode(prompt)) :]
    assert last["usage"]["completion_tokens"] == len(wanted)
    whole = httpx.post(f"{server.url}/v1/completions", json=ask).json()
    assert whole["choices"][0]["text"] == text


def test_requests_at_the_same_time_do_not_change_each_other(server: Process, golden: Path) -> None:
    fixture = np.load(golden / "llama_v2_gqa" / "golden.npz")
    prompts = [fixture[f"prompt_{row}"].tolist() for row in (0, 1)]
    ask = {"max_tokens": 16, "temperature": 0}
    url = f"{server.url}/v1/completions"
    alone = [
        httpx.post(url, json={**ask, "prompt": prompt}).json()["choices"][0]["text"]
        for prompt in prompts
    ]
    together = httpx.post(url, json={**ask, "prompt": prompts, "n": 2}).json()["choices"]
    assert [choice["text"] for choice in together] == [alone[0]] * 2 + [alone[1]] * 2


def test_a_prompt_beyond_the_context_is_refused_with_numbers(server: Process) -> None:
    ask = {"prompt": [5] * 4090, "max_tokens": 10}
    answer = httpx.post(f"{server.url}/v1/completions", json=ask)
    assert answer.status_code == 400
    assert "4090 prompt tokens and 10 new tokens make 4100" in answer.json()["error"]["message"]


def test_paddles_decoder_answers_and_stops_as_the_native_engine_does(
    server: Process, model_folder: Path
) -> None:
    pytest.importorskip("paddle", reason="needs the extra llm-infer[paddle]")
    ask = {"prompt": "hello", "max_tokens": 8, "temperature": 0}
    wanted = httpx.post(f"{server.url}/v1/completions", json=ask).json()["choices"]
    paddle = Process(model_folder, "--num_blocks", "64", "--inference_model", "false")
    paddle.wait_until_ready()
    answer = httpx.post(f"{paddle.url}/v1/completions", json=ask, timeout=30)
    code, errors = paddle.stop()
    assert answer.json()["choices"] == wanted
    assert code == 0, errors


def test_a_port_in_use_ends_the_command_with_a_sentence(model_folder: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        command = [*LLM, "serve", "--model_name_or_path", str(model_folder), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_ends_the_command_with_a_sentence(tmp_path: Path) -> None:
    command = [*LLM, "serve", "--model_name_or_path", str(tmp_path / "no"), "--port", "0"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 2
    assert str(tmp_path / "no") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_running_stream_outlives_sigterm(model_folder: Path) -> None:
    server = Process(model_folder, "--num_blocks", "64")
    server.wait_until_ready()
    ask = {"prompt": [72], "max_tokens": 400, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{server.url}/v1/completions", json=ask, timeout=30) as answer:
        lines = answer.iter_lines()
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        *_, last, done = [line for line in lines if line]
    assert done == "data: [DONE]"
    assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    _, errors = server.process.communicate(timeout=20)
    assert server.process.returncode == 0, errors
