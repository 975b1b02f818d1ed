"""The commands: nothing heavy to describe them, sound options, and the README's lines run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from llm_cli.errors import UserError
from llm_cli.options import option_specs
from llm_data.check.options import CheckOptions
from llm_data.cli import command
from llm_data.inspect.options import InspectOptions
from llm_data.tokenize.options import TokenizeOptions
from llm_data.train_tokenizer.options import TrainTokenizerOptions

README = Path(__file__).resolve().parents[1] / "README.md"


def test_describing_the_commands_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from llm_data.cli import command\n"
        "for entry in command.commands: entry.load_options()\n"
        "heavy = {'numpy', 'tokenizers', 'jinja2', 'sentencepiece', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_command_loads() -> None:
    assert [entry.name for entry in command.commands] == [
        "train-tokenizer",
        "tokenize",
        "encode",
        "decode",
        "check",
        "inspect",
    ]
    for entry in command.commands:
        assert callable(entry.load_run())
        assert all(spec.help for spec in option_specs(entry.load_options()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TokenizeOptions(
                input_path=["a"], tokenizer_name_or_path="t", output_prefix="o", workers=0
            ),
            "--workers 0",
        ),
        (
            lambda: TokenizeOptions(
                input_path=["a"], tokenizer_name_or_path="t", output_prefix="data/"
            ),
            "--output_prefix",
        ),
        (
            lambda: TokenizeOptions(
                input_path=["a"],
                tokenizer_name_or_path="t",
                output_prefix="o",
                max_repeated_len=-1,
            ),
            "--max_repeated_len -1",
        ),
        (
            lambda: TrainTokenizerOptions(input_path=["a"], output_path="o", vocab_size=256),
            "need 257",
        ),
        (
            lambda: TrainTokenizerOptions(input_path=["a"], output_path="o", eos_token=""),
            "--eos_token is empty",
        ),
        (
            lambda: TrainTokenizerOptions(input_path=["a"], output_path="o", min_frequency=0),
            "--min_frequency 0",
        ),
        (
            lambda: CheckOptions(
                dataset_name_or_path="d", tokenizer_name_or_path="t", max_cut_share=2
            ),
            "--max_cut_share 2",
        ),
        (
            lambda: CheckOptions(
                dataset_name_or_path="d",
                tokenizer_name_or_path="t",
                per_device_train_batch_size=0,
            ),
            "--per_device_train_batch_size 0",
        ),
        (
            lambda: InspectOptions(input_path="d", tokenizer_name_or_path="t", num_samples=0),
            "^--num_samples 0 must be at least 1: it is how many samples to show.$",
        ),
        (
            lambda: InspectOptions(input_path="d", tokenizer_name_or_path="t", start=-1),
            "^--start -1 must be at least 0",
        ),
    ],
)
def test_values_that_cannot_work_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=message):
        make()


def _blocks(language: str) -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_readmes_commands_and_code(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    commands = _blocks("bash")
    assert len(commands) >= 5
    script = "set -e\n" + "\n".join(commands)
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Passed: every share is within its limit." in result.stdout
    code = "".join(_blocks("python"))
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
