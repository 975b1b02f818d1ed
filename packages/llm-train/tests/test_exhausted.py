"""Memory that ran out while training."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

from llm_train.errors import ExhaustedError
from llm_train.exhausted import exhaustion_named, loading_named
from llm_train.pretrain.options import PretrainOptions

OPTIONS = PretrainOptions(model_name_or_path="m", output_dir="o", max_seq_length=100_000)


def test_paddles_own_error_is_told_without_its_text() -> None:
    with pytest.raises(ExhaustedError) as raised, exhaustion_named(OPTIONS):
        paddle.empty([1 << 20, 1 << 20, 256], "float32")
    said = str(raised.value)
    assert "8 x 100,000 tokens at once: 1.13 PB more were asked for" in said
    assert "shorter --max_seq_length" in said
    assert not any(word in said for word in ("Hint", ".cc", "ResourceExhausted", "smaller model"))


@pytest.mark.parametrize(
    ("text", "asked"),
    [("Out of memory error on GPU 0. Cannot allocate 1.25GB memory on GPU 0", "1.25GB"), ("", "")],
)
def test_other_errors_of_memory(text: str, asked: str) -> None:
    with pytest.raises(ExhaustedError) as raised, exhaustion_named(OPTIONS):
        raise MemoryError(text)
    assert asked in str(raised.value)
    assert ("asked for" in str(raised.value)) == bool(asked)


def test_a_run_tells_it(
    trained: Callable[..., Any], repeating: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("llm_train.loop.trainer.LoopTrainer.training_step", exhausted)
    run = trained(max_steps=1)
    with pytest.raises(ExhaustedError, match="--per_device_train_batch_size"):
        run.go(repeating(8))


LOAD = """
import resource, sys
from llm_train.quiet import import_paddlenlp
import_paddlenlp()
from llm_train.errors import ExhaustedError
from llm_train.model import build_model
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 250 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    build_model(sys.argv[1], continue_training=False)
except ExhaustedError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
@pytest.mark.parametrize(
    ("hidden", "vocab"),
    [(8192, 100), pytest.param(64, 2_000_000, marks=pytest.mark.slow)],
)
def test_weights_that_do_not_fit_are_told_with_their_size(
    hidden: int, vocab: int, tmp_path: Path, config_folder: Path
) -> None:
    config = json.loads((config_folder / "config.json").read_text())
    config |= {"hidden_size": hidden, "vocab_size": vocab, "intermediate_size": 2 * hidden}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-c", LOAD, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout
    assert f"to load the model in {tmp_path}" in said, done.stderr[-2000:]
    assert re.search(r"[\d.]+ [KMG]i?B more were asked for and could not be had", said)
    free = re.search(r"(\d+) MB of [\d.]+ [MG]B are free", said)
    assert free is not None
    assert int(free[1]) <= 263  # the limit leaves 250 MiB
    assert re.search(r"parameters are [\d.]+ [MG]B of weights in float32", said)
    assert "llm train plan" in said
    assert not any(word in said for word in ("Hint", ".cc", "ResourceExhausted", "Traceback"))


def test_errors_of_files_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), loading_named(tmp_path, None):
        (tmp_path / "none").read_bytes()
    with pytest.raises(ExhaustedError, match="load the model"), loading_named(tmp_path, None):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
