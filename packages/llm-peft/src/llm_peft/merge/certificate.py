"""Does a merged model answer as its base with the adapter beside it?

Both run through the NumPy reference decoder on the same random tokens: the merged weights as read
back from their files, and the base's with the adapter's two small products next to every adapted
linear. The two paths share neither the sum of weight and adapter nor the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from llm_convert.lora import LoraAdapter
from llm_convert.model import Model
from llm_convert.verify.certificate import plain_logits, random_tokens, streamed
from llm_convert.verify.comparison import Comparison, compare
from llm_kernels.families import ParameterKey
from llm_kernels.reference import Adapted, Weight

PASSES = 3
"""How often `certify` runs the model."""


@dataclass(frozen=True)
class Certificate(Comparison):
    """What the comparison of two models' logits [T, V] found.

    Wanted is the base with the adapter, found the merged model. adapter_effect: largest difference
    that the adapter makes to a logit of the base; 0 would mean that it changes nothing.
    """

    seed: int
    adapter_effect: float


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
    ids = random_tokens(base.sizes, tokens, seed)

    def logits(source: Callable[[ParameterKey], Weight]) -> np.ndarray:
        found = plain_logits(base.spec, base.sizes, source, ids)
        passed(1)
        return found

    beside = logits(adapted(base, adapter))
    compared = compare(beside, logits(streamed(merged)))
    plain = logits(streamed(base))
    effect = float(np.abs(np.subtract(plain, beside, out=plain)).max())
    return Certificate(**asdict(compared), seed=seed, adapter_effect=effect)


def adapted(base: Model, adapter: LoraAdapter) -> Callable[[ParameterKey], Weight]:
    """The base's weights, those with an adapter as `Adapted`: nothing is merged.

    What was asked for before is released, as in `streamed`.
    """
    plain = streamed(base)

    def weight(key: ParameterKey) -> Weight:
        if key in adapter.replaced:
            return adapter.replaced[key]
        if key not in adapter.pairs:
            return plain(key)
        return Adapted(plain(key), *adapter.pairs[key], adapter.scaling_of(key))

    return weight
