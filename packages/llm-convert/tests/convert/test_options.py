"""One purpose, one source, and switches that fit together."""

from __future__ import annotations

from typing import Any

import pytest

from llm_cli.errors import UserError
from llm_convert.convert.options import ConvertOptions
from llm_convert.errors import ConvertError


def test_one_source_is_enough() -> None:
    assert ConvertOptions(from_torch="a", output_path="b").to is None
    assert ConvertOptions(to_torch="a", output_path="b").dtype is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output_path": "x"}, "Name one of --from_torch, --to_torch, --from_meta, --gguf"),
        ({"output_path": "x", "from_torch": "a", "to_torch": "b"}, "--from_torch and --to_torch"),
        ({"gguf": "a", "from_meta": "b"}, "--from_meta and --gguf"),
        ({"from_torch": "a", "output_path": "b", "dtype": "q8_0"}, "add --to gguf"),
        ({"from_torch": "a", "output_path": "b", "max_shard_size": "4XB"}, "is '4XB'; it must be"),
        ({"from_torch": "a", "output_path": "b", "max_shard_size": "0"}, "at least 1 byte"),
        (
            {"from_torch": "a", "output_path": "b", "to": "gguf", "max_shard_size": "1GB"},
            "--to gguf writes one file",
        ),
        ({"from_torch": "a"}, "Missing --output_path"),
        ({"verify": "some/model"}, "--verify some/model needs --golden"),
        ({"from_torch": "a", "output_path": "b", "verify": "c"}, "name them with --golden"),
        ({"from_torch": "a", "output_path": "b", "max_kl": 0.0}, "above 0"),
        ({"from_torch": "a", "output_path": "b", "max_kl": 1.0, "verify": "false"}, "--verify"),
        ({"golden": "g"}, "--verify FOLDER"),
        ({"golden": "g", "verify": "true"}, "--verify FOLDER"),
        ({"golden": "g", "verify": "m", "output_path": "x"}, "leave out --output_path"),
        ({"golden": "g", "verify": "m", "tolerance": -1.0}, "--tolerance is -1"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises((UserError, ConvertError), match=said):
        ConvertOptions(**given)


@pytest.mark.parametrize(
    ("short", "name"),
    [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16"), ("fp8", "float8")],
)
def test_short_names_of_types(short: str, name: str) -> None:
    assert ConvertOptions(to_torch="a", output_path="b", dtype=short).dtype == name


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, None),
        ({"verify": "true"}, True),
        ({"verify": "False"}, False),
        ({"max_kl": 0.1}, None),
    ],
)
def test_when_a_conversion_is_verified(given: dict[str, Any], wanted: bool | None) -> None:
    assert ConvertOptions(from_torch="a", output_path="b", **given).verified is wanted
