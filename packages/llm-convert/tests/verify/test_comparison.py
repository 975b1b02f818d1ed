from __future__ import annotations

import json
import math

import numpy as np
import pytest

from llm_convert.verify.comparison import compare

RNG = np.random.default_rng(3)


def test_equal_logits_have_no_distance() -> None:
    logits = RNG.normal(size=(70, 11)).astype(np.float32)
    compared = compare(logits, logits)
    assert (compared.tokens, compared.max_abs_diff, compared.top1_agreement) == (70, 0, 1)
    assert compared.mean_kl == 0
    assert compared.max_abs_logit == pytest.approx(float(np.abs(logits).max()))


def test_against_the_definitions() -> None:
    """Probabilities by hand; the rows before and after a chunk's end count alike."""
    wanted = RNG.normal(size=(45, 6)).astype(np.float32)
    found = wanted + RNG.normal(scale=0.3, size=wanted.shape).astype(np.float32)
    p, q = (np.exp(x.astype(np.float64)) for x in (wanted, found))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    compared = compare(wanted, found)
    assert compared.mean_kl == pytest.approx((p * np.log(p / q)).sum(-1).mean())
    assert compared.max_abs_diff == pytest.approx(np.abs(wanted.astype(np.float64) - found).max())
    assert compared.top1_agreement == pytest.approx((p.argmax(-1) == q.argmax(-1)).mean())
    assert 0 < compared.top1_agreement < 1


def test_what_is_not_finite_is_never_close() -> None:
    wanted = np.zeros((3, 4), np.float32)
    found = wanted.copy()
    found[1, 2] = np.nan
    compared = compare(wanted, found)
    assert math.isnan(compared.max_abs_diff)
    assert not compared.mean_kl <= 1
    assert json.loads(json.dumps(compared.content(), allow_nan=False))["mean_kl"] is None
