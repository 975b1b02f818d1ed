"""How many floating-point operations training a token takes.

Forward and backward of a product cost 6 operations for each weight that a token meets (Kaplan et
al. 2020, arXiv:2001.08361), and attention 12 L H D for each of the T tokens it looks at (Chowdhery
et al. 2022, arXiv:2204.02311). Recomputing is not counted: it is no progress.
"""

from __future__ import annotations

from llm_kernels.families import SLOTS, FamilySpec, Sizes, parameters


def flops_per_token(spec: FamilySpec, sizes: Sizes, tokens: float) -> float:
    """Of training on samples of `tokens` tokens; of experts, those that a token is sent to."""
    weights = 0.0
    for key, shape in parameters(spec, sizes).items():
        if len(shape) < 2 or SLOTS[key.slot].kind != "linear":
            continue
        share = sizes.experts_per_token / sizes.experts if key.expert is not None else 1.0
        weights += share * shape[0] * shape[1]
    if sizes.tied:
        weights += sizes.vocab * sizes.embed_dim
    attention = 12.0 * sizes.layers * sizes.heads * sizes.head_dim * tokens
    return 6.0 * weights + attention
