"""What a model cannot become is told by config.json and options, before weights are read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llm_convert.convert.options import ConvertOptions
from llm_convert.convert.run import convert
from llm_convert.errors import ConvertError


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (
            "opt",
            {"to": "gguf"},
            "--to gguf cannot hold the family opt; choose one of hf, paddlenlp",
        ),
        ("encoders/bert", {"to": "gguf"}, "cannot become GGUF: only decoder models can"),
        ("encoders/bert", {"to": "hf", "dtype": "int8"}, "--dtype is int8.* float32, float16, bf"),
        ("lora_gpt2", {"to": "hf", "dtype": "float8"}, "encoders and adapters can be float32"),
    ],
)
def test_what_a_model_cannot_become_is_told_before_its_weights_are_read(
    golden: Path, tmp_path: Path, source: str, options: dict[str, str], said: str
) -> None:
    folder = tmp_path / "source"
    shutil.copytree(golden / source, folder)
    given: dict[str, Any] = {"from_torch": str(folder), "output_path": str(tmp_path / "x")}
    with pytest.raises(ConvertError, match=said):
        convert(ConvertOptions(**given, **options))
    assert not (tmp_path / "x").exists()
