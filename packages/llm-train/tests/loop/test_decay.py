"""Which parameters AdamW's weight decay shrinks, in every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_train.loop.decay import decayed
from llm_train.model import build_model

GOLDEN = Path(__file__).parents[4] / "tests" / "golden"
REFUSED = {"chatglm", "glm"}
FAMILIES = sorted({config.parent.name for config in GOLDEN.glob("*/config.json")} - REFUSED)
VECTORS = ("_norm.weight", ".norm.weight", ".bias", "router_correction.weight")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_matrix_and_nothing_else(golden: Path, family: str) -> None:
    model = build_model(golden / family, continue_training=False)
    names = {name for name, _ in model.named_parameters()}
    assert names - decayed(model) == {name for name in names if name.endswith(VECTORS)}


def test_a_step_shrinks_those_and_no_others(trained: Callable[..., Any], repeating: Any) -> None:
    """AdamW's decay is apart from the gradient: two runs differ by it alone."""
    rate, decay = 0.01, 0.5
    plain, shrunk = (
        trained(name, max_steps=1, learning_rate=rate, warmup_steps=0, weight_decay=value)
        for name, value in (("plain", 0.0), ("shrunk", decay))
    )
    for run in (plain, shrunk):
        run.go(repeating(4))
    start = build_model(plain.config, continue_training=False, seed=5)
    models = [build_model(run.output) for run in (plain, shrunk)]
    parameters = [dict(model.named_parameters()) for model in (start, *models)]
    for name, (first, without, with_decay) in (
        (name, [p[name].numpy() for p in parameters]) for name in parameters[0]
    ):
        expected = 0.0 if name.endswith(VECTORS) else rate * decay
        np.testing.assert_allclose(
            without - with_decay, expected * first, atol=2e-7, rtol=1e-3, err_msg=name
        )
