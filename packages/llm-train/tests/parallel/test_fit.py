"""What of a model cannot be shared is said before Paddle starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_kernels.families import detect, read_sizes
from llm_train.errors import RecipeError
from llm_train.parallel.fit import check_layout
from llm_train.parallel.layout import Layout


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (Layout(tensor=3), "heads is 4, which 3 ranks cannot share"),
        (Layout(pipeline=8), "needs 8 blocks; the model has 3"),
        (Layout(pipeline=2, chunks=2), "needs 4 blocks"),
    ],
)
def test_heads_and_blocks_must_fit(layout: Layout, said: str, golden: Path) -> None:
    config = json.loads((golden / "llama_v2_gqa" / "config.json").read_text())
    spec = detect(config)
    check_layout(Layout(tensor=2, pipeline=3), spec, read_sizes(spec, config))
    with pytest.raises(RecipeError, match=said):
        check_layout(layout, spec, read_sizes(spec, config))
