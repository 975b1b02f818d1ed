"""The Python examples of llm-kernels' README that need no Paddle run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "packages" / "llm-kernels" / "README.md"


def test_the_examples_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    examples = [example for example in examples if "llm_kernels.paddle" not in example]
    assert len(examples) == 2
    names: dict[str, np.ndarray] = {}
    for example in examples:
        model = str(ROOT / "tests" / "golden" / "llama_v2_gqa")
        exec(example.replace("path/to/model", model), names)
    assert names["y"].shape == (1, 4096)
    assert names["logits"].shape == (1, 256)
    assert np.isfinite(names["logits"]).all()
