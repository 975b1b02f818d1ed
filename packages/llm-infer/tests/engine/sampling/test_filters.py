"""min_p beside the other filters, against probabilities computed the long way."""

from __future__ import annotations

import numpy as np
import pytest

from llm_infer.engine.params import SamplingParams
from llm_infer.engine.sampling import distribution


def reference(logits, params):
    """Probabilities [V]: temperature, top_k, top_p, then min_p of what is left."""
    order = np.argsort(-logits.astype(np.float64), kind="stable")
    weights = np.exp((logits - logits.max()).astype(np.float64)[order] / params.temperature)
    if params.top_k:
        weights[params.top_k :] = 0
    shares = weights / weights.sum()
    weights[np.cumsum(shares) - shares >= params.top_p] = 0
    shares = weights / weights.sum()
    weights[shares < params.min_p * shares.max()] = 0
    found = np.empty_like(weights)
    found[order] = weights / weights.sum()
    return found


@pytest.mark.parametrize("top_k", [0, 20])
@pytest.mark.parametrize("top_p", [0.8, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.02, 0.3, 1.0])
def test_min_p(top_k, top_p, min_p):
    logits = np.random.default_rng(top_k).standard_normal(3000).astype(np.float32) * 2
    params = SamplingParams(temperature=0.9, top_k=top_k, top_p=top_p, min_p=min_p)
    candidates, weights = distribution(logits, params)
    found = np.zeros(len(logits))
    found[candidates] = weights / weights.sum()
    np.testing.assert_allclose(found, reference(logits, params), rtol=1e-6, atol=1e-12)
    assert len(candidates) == 1 or min_p < 1
