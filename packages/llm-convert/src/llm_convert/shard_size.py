"""Sizes of files as people write them; imports nothing heavy, so that options can check them."""

from __future__ import annotations

import re

from llm_convert.errors import ConvertError

DEFAULT_SHARD = "4GB"
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_size(size: str | int) -> int:
    """Bytes of a size like 4000000000, "4GB" or "512MiB".

    Raises:
        ConvertError: not a positive size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Z]*)", str(size).strip().upper())
    value = float(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else 0
    if value < 1:
        message = (
            f"--max_shard_size is {str(size)!r}; it must be at least 1 byte, as a number with or "
            "without KB, MB, GB, TB, KiB, MiB, GiB or TiB, such as 4GB or 512MiB."
        )
        raise ConvertError(message)
    return int(value)
