"""Sizes as people write them."""

from __future__ import annotations

import pytest

from llm_convert.errors import ConvertError
from llm_convert.shard_size import parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("512MiB", 2**29), ("1.5 kb", 1500), (77, 77)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "0", "-1GB", "4XB", "4GB5", "1e3"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ConvertError, match=rf"--max_shard_size is {text!r}; .*such as 4GB"):
        parse_size(text)
