"""What may be a prompt."""

from __future__ import annotations

import pytest

from llm_infer.errors import InferError
from llm_infer.predict.terminal import read_prompts


def test_bytes_that_are_no_text_are_refused():
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    with pytest.raises(InferError, match=r"no valid text at character 4.*UTF-8"):
        read_prompts(["fine", broken])
    assert read_prompts(["caf\u00e9"]) == ["caf\u00e9"]
