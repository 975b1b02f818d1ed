"""Wrong paths are named at once: nothing here may have to import Paddle for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_cli.outputs import lineage, written_folder
from llm_data.indexed import IndexedWriter
from llm_train.errors import RecipeError
from llm_train.lock import held
from llm_train.places import check_output
from llm_train.training_options import TrainingOptions

REFUSE_PADDLE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("paddle", "paddlenlp"):
            raise SystemExit(99)
sys.meta_path.insert(0, Refuse())
from llm_cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path: Path, golden: Path) -> Path:
    """A model without tokenizer, one that is finished, token files and answers."""
    shutil.copytree(golden / "llama_v2_gqa", tmp_path / "model")
    config = tmp_path / "bare"
    config.mkdir()
    shutil.copy(golden / "llama_v2_gqa" / "config.json", config)
    with IndexedWriter(tmp_path / "text", np.uint16) as writer:
        writer.add_document(np.arange(200))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.json").write_text('{"src": "a", "tgt": "b"}\n')
    with written_folder(tmp_path / "done", lineage("test", {})) as done:
        (done / "config.json").write_text("{}")
    words = {"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "a"}}
    (tmp_path / "tok").mkdir()
    (tmp_path / "tok" / "tokenizer.json").write_text(
        json.dumps({"version": "1.0", "added_tokens": [], **words})
    )
    (tmp_path / "tok" / "tokenizer_config.json").write_text('{"eos_token": "b"}')
    return tmp_path


PRETRAIN = {"model_name_or_path": "model", "input_dir": "text", "output_dir": "out"}
SFT = {
    "model_name_or_path": "model",
    "dataset_name_or_path": "data",
    "tokenizer_name_or_path": "tok",
    "output_dir": "out",
}


@pytest.mark.parametrize(
    ("command", "changes", "said"),
    [
        ("train pretrain", {"input_dir": "none"}, "none"),
        ("train pretrain", {"output_dir": "done"}, "finished model"),
        ("train pretrain", {"tokenizer_name_or_path": "none"}, "none"),
        ("train pretrain", {"model_name_or_path": "bare", "continue_training": "true"}, "bare"),
        ("train pretrain", {"output_dir": "text.bin/out"}, "is a file, not a folder"),
        ("train pretrain", {"resume_from_checkpoint": "nope"}, "nope: there is no such folder"),
        ("peft lora", {"resume_from_checkpoint": "nope"}, "nope: there is no such folder"),
        ("train sft", {"dataset_name_or_path": "none"}, "Data none does not exist"),
        ("train sft", {"do_eval": "true"}, "neither dev.json"),
        ("train sft", {"src_length": "9", "max_length": "8"}, "--src_length 9"),
        ("train sft", {"tokenizer_name_or_path": "none"}, "none"),
        ("train sft", {"model_name_or_path": "bare"}, "bare"),
        ("train sft", {"output_dir": "done"}, "finished model"),
        ("peft lora", {"dataset_name_or_path": "none"}, "Data none does not exist"),
        ("peft lora", {"output_dir": "done"}, "finished model"),
    ],
)
def test_said_before_paddle_is_imported(
    folder: Path, command: str, changes: dict[str, str], said: str
) -> None:
    settings = {**(PRETRAIN if "pretrain" in command else SFT), **changes}
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", REFUSE_PADDLE, *command.split(), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize("command", ["train pretrain", "train sft", "peft lora"])
def test_what_is_right_goes_on_to_paddle(folder: Path, command: str) -> None:
    settings = PRETRAIN if "pretrain" in command else SFT
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-c", REFUSE_PADDLE, *command.split(), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 99, done.stderr


def options(folder: Path, **changes: Any) -> TrainingOptions:
    return TrainingOptions(model_name_or_path="m", output_dir=str(folder), **changes)


def test_an_output_folder_in_use_or_a_file(tmp_path: Path) -> None:
    check_output(options(tmp_path / "new" / "deeper"))
    with (
        held(tmp_path / "busy"),
        pytest.raises(RecipeError, match="Another run is writing"),
    ):
        check_output(options(tmp_path / "busy"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(RecipeError, match="file is a file, not a folder"):
        check_output(options(tmp_path / "file"))
