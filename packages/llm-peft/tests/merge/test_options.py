"""Options of the merge."""

from __future__ import annotations

from typing import Any

import pytest

from llm_convert.errors import ConvertError
from llm_peft.errors import LoraOptionError
from llm_peft.merge.options import MergeOptions


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("safe_serialization", False, "--safe_serialization false"),
        ("verify_tokens", -1, "--verify_tokens is -1"),
        ("max_kl", 0.0, "--max_kl is 0.0"),
        ("max_kl", float("nan"), "--max_kl is nan"),
    ],
)
def test_what_cannot_work_names_the_option(name: str, value: Any, part: str) -> None:
    with pytest.raises(LoraOptionError, match=part):
        MergeOptions(lora_path="a", output_path="o", **{name: value})


def test_sizes_are_looked_at_before_the_model() -> None:
    with pytest.raises(ConvertError, match="--max_shard_size is '4XB'; it must be"):
        MergeOptions(lora_path="a", output_path="o", max_shard_size="4XB")


def test_large_models_are_compared_only_when_that_is_asked_for() -> None:
    def options(**more: Any) -> MergeOptions:
        return MergeOptions(lora_path="a", output_path="b", **more)

    assert options().verifies(small=True)
    assert not options().verifies(small=False)
    assert options(verify="true").verifies(small=False)
    assert not options(verify="false").verifies(small=True)
    assert not options(verify_tokens=0).verifies(small=True)


@pytest.mark.parametrize(("short", "name"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_short_names_of_types(short: str, name: str) -> None:
    assert MergeOptions(lora_path="a", output_path="b", dtype=short).dtype == name
