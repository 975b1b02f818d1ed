"""Does a merged model answer as its base with the adapter beside it?

Both run through the NumPy reference decoder on the same random tokens: the merged weights as read
back from their files, and the base's with the adapter's two small products next to every adapted
linear. The two paths share neither the sum of weight and adapter nor the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llm_convert.lora import LoraAdapter
from llm_convert.model import Model
from llm_kernels.families import ParameterKey
from llm_kernels.reference import Adapted, Weight
from llm_kernels.reference_decoder import forward

PASSES = 3
"""How often `certify` runs the model."""


@dataclass(frozen=True)
class Certificate:
    """What the comparison of two models' logits [T, V] found.

    max_abs_diff: largest difference of a logit. max_abs_logit: largest logit, to relate it to.
    mean_kl: mean over tokens of KL(base with adapter || merged), nats. top1_agreement: share of
    tokens whose likeliest successor is the same. adapter_effect: largest difference that the
    adapter makes to a logit of the base; 0 would mean that it changes nothing.
    """

    tokens: int
    seed: int
    max_abs_diff: float
    max_abs_logit: float
    mean_kl: float
    top1_agreement: float
    adapter_effect: float

    def content(self) -> dict[str, Any]:
        """The certificate as JSON holds it."""
        return asdict(self)


def certify(
    base: Model,
    adapter: LoraAdapter,
    merged: Model,
    *,
    tokens: int,
    seed: int,
    passed: Callable[[int], None] = lambda _: None,
) -> Certificate:
    """Compare `merged` with `base` and `adapter` on `tokens` random ones (at most a context).

    `passed` is told 1 after each of the PASSES, for a progress bar.
    """
    count = min(tokens, base.sizes.max_positions or tokens)
    ids = np.random.default_rng(seed).integers(0, base.sizes.vocab, count)

    def logits(source: Callable[[ParameterKey], Weight]) -> np.ndarray:
        found = forward(base.spec, base.sizes, source, ids).astype(np.float64)
        passed(1)
        return found

    beside = logits(adapted(base, adapter))
    found = logits(merged.weight)
    wanted, got = _log_softmax(beside), _log_softmax(found)
    return Certificate(
        tokens=count,
        seed=seed,
        max_abs_diff=float(np.abs(found - beside).max()),
        max_abs_logit=float(np.abs(beside).max()),
        mean_kl=float((np.exp(wanted) * (wanted - got)).sum(-1).mean()),
        top1_agreement=float((found.argmax(-1) == beside.argmax(-1)).mean()),
        adapter_effect=float(np.abs(logits(base.weight) - beside).max()),
    )


def adapted(base: Model, adapter: LoraAdapter) -> Callable[[ParameterKey], Weight]:
    """The base's weights, those with an adapter as `Adapted`: nothing is merged."""

    def weight(key: ParameterKey) -> Weight:
        if key in adapter.replaced:
            return adapter.replaced[key]
        if key not in adapter.pairs:
            return base.weight(key)
        return Adapted(base.weight(key), *adapter.pairs[key], adapter.scaling_of(key))

    return weight


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
