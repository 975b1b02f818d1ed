"""Command lines and config files become the dataclass of a command."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import click
import pytest

from llm_cli.command import Command, Group
from llm_cli.errors import UserError
from llm_cli.options import flag, option
from llm_cli.tree import to_click

SEEN: list[Any] = []


@dataclass(kw_only=True)
class Options:
    """Fine-tune something."""

    input_path: list[str] = option(help="Files to read.")
    lora_rank: int = option(8, help="Rank.")
    learning_rate: float = option(3e-4, help="Rate.", aliases=("lr",))
    strategy: str = option("greedy", help="How.", choices=("greedy", "sampling"))
    block_attn: bool = flag(help="Paged.")
    lora_path: str | None = option(None, help="Adapter.")
    check: str | None = option(None, help="Folder to check, or whether to.", bare="yes")


def run_and_remember(options: Options) -> int:
    SEEN.append(options)
    return 7


COMMAND = Command("lora", f"{__name__}:Options", f"{__name__}:run_and_remember", "Fine-tune.")


def call(*arguments: str, description: Command | Group = COMMAND) -> Options:
    sys.modules.setdefault(__name__, sys.modules[Options.__module__])
    SEEN.clear()
    assert to_click(description).main(list(arguments), standalone_mode=False) == 7
    (options,) = SEEN
    return options


def test_underscores_and_dashes_are_one_option() -> None:
    assert call("--input-path", "a", "--lora-rank", "3", "--block-attn") == call(
        "--input_path", "a", "--lora_rank", "3", "--block_attn", "true"
    )


def test_an_option_may_have_a_value_of_its_own_when_it_stands_alone() -> None:
    options = call("--input_path", "a", "--check", "--lora_rank", "2")
    assert (options.check, options.lora_rank) == ("yes", 2)
    assert call("--input_path", "a", "--check", "folder").check == "folder"


def test_a_list_takes_many_values_and_may_be_repeated() -> None:
    options = call("--input_path", "a", "b", "--input_path", "c", "--lora_rank", "2")
    assert options.input_path == ["a", "b", "c"]


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_options_override_the_config_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"lora.{suffix}"
    text = json.dumps({"input_path": "x", "lora-rank": 16, "lr": 3e-5, "block_attn": True})
    file.write_text(text if suffix == "json" else "input_path: x\nlora-rank: 16\nlr: 3e-5\n")
    options = call(str(file), "--lora_rank", "4")
    assert (options.input_path, options.lora_rank, options.learning_rate) == (["x"], 4, 3e-5)
    assert options.block_attn is (suffix == "json")


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"input_path": "x", "lora_rnk": 16}')
    with pytest.raises(UserError, match=r"Unknown key 'lora_rnk' in .* Did you mean 'lora_rank'"):
        call(str(file))


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(click.UsageError) as error:
        call("--input_path", "x", "--lora_rnk", "16")
    assert "--lora_rank" in error.value.format_message()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--lora_rank", "3"], "Missing --input_path"),
        (["--input_path", "a", "--lora_rank", "3.5"], "must be a whole number"),
        (["--input_path", "a", "--lr", "fast"], "must be a number"),
        (["--input_path", "a", "--strategy", "samplin"], "Did you mean 'sampling'"),
        (["--input_path", "a", "--block_attn", "perhaps"], "must be true or false"),
    ],
)
def test_a_wrong_value_says_what_is_right(arguments: list[str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        call(*arguments)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "cannot be read"),
        ("[1]", "must hold an object"),
        ('{"input_path": {}}', "must be text"),
    ],
)
def test_a_broken_config_file_is_named(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "c.json"
    file.write_text(content)
    with pytest.raises(UserError, match=text):
        call(str(file))


def test_a_group_falls_back_to_its_default_command() -> None:
    group = Group("peft", "Adapters.", (COMMAND,), default="lora")
    assert call("--input_path", "a", description=group).input_path == ["a"]
    assert call("lora", "--input_path", "a", description=group).input_path == ["a"]


@dataclass(kw_only=True)
class FolderOptions:
    """Look at a folder."""

    POSITIONAL: ClassVar[str] = "folder"

    folder: str = option(help="Folder to look at.")
    rank: int = option(1, help="Rank.")


def test_a_word_that_is_no_config_file_may_mean_an_option(tmp_path: Path) -> None:
    command = Command("look", f"{__name__}:FolderOptions", f"{__name__}:run_and_remember", "Look.")
    assert call("a/folder", "--rank", "2", description=command) == FolderOptions(
        folder="a/folder", rank=2
    )
    assert call("a/folder", "--folder", "b", description=command).folder == "b"
    (tmp_path / "c.json").write_text(json.dumps({"folder": "c"}))
    assert call(str(tmp_path / "c.json"), description=command).folder == "c"
