"""What may be a prompt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llm_infer.errors import InferError
from llm_infer.predict.terminal import read_prompts


def test_bytes_that_are_no_text_are_refused():
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    with pytest.raises(InferError, match=r"no valid text at character 4.*UTF-8"):
        read_prompts(["fine", broken])
    assert read_prompts(["caf\u00e9"]) == ["caf\u00e9"]


def started(model, stdout):
    words = ["--model_name_or_path", model, "--prompt", "a", "--max_length", "300"]
    command = [sys.executable, "-m", "llm_cli", "infer", *map(str, words), "--min_length", "250"]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_goes_ends_it_without_a_word_more(tiny_model):
    with started(tiny_model, subprocess.PIPE) as process:
        process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
    assert "Traceback" not in said
    assert "Error" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_answer_that_cannot_be_written_is_an_error(tiny_model):
    with Path("/dev/full").open("w") as full, started(tiny_model, full) as process:
        said = process.stderr.read()
    assert process.returncode == 2
    assert "Traceback" not in said
    assert "disk is full while writing the standard output" in said
