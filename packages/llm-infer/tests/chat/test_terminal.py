"""A chat through a pseudo-terminal: what a person types, presses and sees."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest

TEMPLATE = {
    "system": "[{{system}}]",
    "conversation": ["<{{user}}>", "{{bot}};"],
    "query": "<{{query}}>",
}


class Terminal:
    """A running `llm infer chat`; `typed` and `pressed` go in, `until` waits for what comes out."""

    def __init__(self, *words: object) -> None:
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "llm_cli", "infer", "chat", *map(str, words)]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def send(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, wanted: str, count: int = 1) -> str:
        """What comes up to the `count`-th `wanted`, which is taken out of `seen`."""
        deadline = time.monotonic() + 60
        while self.seen.count(wanted) < count:
            assert time.monotonic() < deadline, f"{wanted!r} did not come: {self.seen!r}"
            ready, _, _ = select.select([self.master], [], [], 1)
            if ready:
                try:
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
                except OSError:
                    assert self.seen.count(wanted) >= count, self.seen
        end = 0
        for _ in range(count):
            end = self.seen.index(wanted, end) + len(wanted)
        before, self.seen = self.seen[:end], self.seen[end:]
        return before

    def interrupt_until(self, wanted: str) -> str:
        """Ctrl-C, again while nothing comes: Python misses one just before it waits for a key."""
        for _ in range(30):
            self.send("\x03")
            waited = time.monotonic() + 1
            while wanted not in self.seen and time.monotonic() < waited:
                if select.select([self.master], [], [], 0.1)[0]:
                    self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
            if wanted in self.seen:
                break
        return self.until(wanted)

    def close(self) -> int:
        code = self.process.wait(60)
        os.close(self.master)
        return code


@pytest.fixture
def chat_model(tiny_model, tmp_path):
    """The tiny model with a chat template."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.json").write_text(json.dumps(TEMPLATE))
    return folder


def test_a_conversation_with_every_key(chat_model):
    terminal = Terminal(
        "--model_name_or_path", chat_model, "--threads", 1, "--max_length", 500, "--min_length", 400
    )  # fmt: skip
    terminal.until("Ctrl-C stops an answer.)")
    terminal.until("> ")
    terminal.interrupt_until("(/exit or Ctrl-D leaves)")
    # What is typed before a prompt is there would be echoed twice.
    terminal.until("> ")
    terminal.send("/what\n")
    terminal.until("(/what is no command.")
    terminal.until("> ")
    terminal.send("Once upon a time\n")
    terminal.until("time\r\n")
    # Some of the answer, which is long enough to be stopped.
    while len(terminal.seen) < 10:
        ready, _, _ = select.select([terminal.master], [], [], 30)
        assert ready
        terminal.seen += os.read(terminal.master, 64).decode("utf-8", "replace")
    terminal.interrupt_until("(stopped)")
    terminal.until("> ")
    assert terminal.process.poll() is None
    terminal.send("/reset\n")
    terminal.until("(the conversation is forgotten)")
    terminal.until("> ")
    terminal.send("/exit\n")
    assert terminal.close() == 0


def test_ctrl_d_leaves(chat_model):
    terminal = Terminal("--model_name_or_path", chat_model, "--threads", 1, "--max_length", 40)
    terminal.until("> ")
    terminal.send("\x04")
    assert terminal.close() == 0


def test_lines_from_a_pipe_are_answered_in_turn(chat_model):
    words = ("infer", "chat", "--model_name_or_path", chat_model, "--threads", "1")
    command = [sys.executable, "-m", "llm_cli", *map(str, words), "--max_length", "60"]
    done = subprocess.run(
        command, input="One\\\ntwo\n\nThree\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "> " not in done.stdout
    assert done.stderr.count("(no room for more") == 2


def test_a_model_without_a_template_is_refused(tiny_model):
    command = [sys.executable, "-m", "llm_cli", "infer", "chat", "--model_name_or_path", tiny_model]
    done = subprocess.run(command, input="x", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no chat template" in done.stderr
    assert "Traceback" not in done.stderr
