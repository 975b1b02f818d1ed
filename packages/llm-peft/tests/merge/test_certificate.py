"""The certificate: what it measures, against float64 arithmetic of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llm_convert.lora import LoraAdapter, read_lora
from llm_convert.model import Model
from llm_kernels.reference_decoder import forward
from llm_peft.lora.targets import target_keys
from llm_peft.merge.certificate import adapted, certify


class Merged:
    """A model's weights with the adapter added in float64, and an error on demand."""

    def __init__(self, base: Model, adapter: LoraAdapter, error: float = 0.0) -> None:
        self.base, self.adapter, self.error = base, adapter, error

    def weight(self, key: object) -> np.ndarray:
        weight = self.base.dense(key).astype(np.float64)
        if key in self.adapter.pairs:
            a, b = (matrix.astype(np.float64) for matrix in self.adapter.pairs[key])
            weight = weight + self.adapter.scaling * (a @ b).T * (1 + self.error)
        return weight.astype(np.float32)

    def release(self, key: object) -> None:
        """Nothing is mapped."""


@pytest.fixture
def adapter(base: Model, random_pairs: Callable[..., dict]) -> LoraAdapter:
    keys = target_keys(base.spec, base.sizes, None)
    return LoraAdapter(4, 6.0, 1.5, random_pairs(base, keys, 4))


def test_a_right_merge_differs_by_rounding_only(base: Model, adapter: LoraAdapter) -> None:
    found = certify(base, adapter, Merged(base, adapter), tokens=40, seed=3)
    assert found.tokens == 40
    assert found.max_abs_diff < 1e-5 * max(1.0, found.max_abs_logit) * 10
    assert abs(found.mean_kl) < 1e-8
    assert found.top1_agreement == 1.0
    assert found.adapter_effect > 1.0


def test_a_wrong_merge_shows(base: Model, adapter: LoraAdapter) -> None:
    wrong = Merged(base, adapter, error=0.5)
    found = certify(base, adapter, wrong, tokens=40, seed=3)
    ids = np.random.default_rng(3).integers(0, 256, 40)
    beside = forward(base.spec, base.sizes, adapted(base, adapter), ids).astype(np.float64)
    other = forward(base.spec, base.sizes, wrong.weight, ids).astype(np.float64)
    assert found.max_abs_diff == pytest.approx(np.abs(beside - other).max())
    p = np.exp(beside) / np.exp(beside).sum(-1, keepdims=True)
    q = np.exp(other) / np.exp(other).sum(-1, keepdims=True)
    assert found.mean_kl == pytest.approx((p * np.log(p / q)).sum(-1).mean(), rel=1e-6)
    assert found.mean_kl > 0.01
    assert found.top1_agreement == (beside.argmax(-1) == other.argmax(-1)).mean() < 1


def test_the_golden_adapter_beside_its_base_gives_pefts_logits(
    golden: Path, base: Model, golden_prompts: Callable[[Path], list]
) -> None:
    folder = golden / "lora_llama_v2_gqa"
    weight = adapted(base, read_lora(folder, base))
    for ids, expected in golden_prompts(folder):
        logits = forward(base.spec, base.sizes, weight, ids)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_no_more_tokens_than_a_context(base: Model, adapter: LoraAdapter) -> None:
    class Short:
        spec, dense, weight, release = base.spec, base.dense, base.weight, base.release
        sizes = dataclasses.replace(base.sizes, max_positions=12)

    assert certify(Short(), adapter, Merged(base, adapter), tokens=99, seed=3).tokens == 12
