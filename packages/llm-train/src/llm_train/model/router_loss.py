"""The auxiliary loss that balances experts (Fedus et al. 2021, arXiv:2101.03961, eq. 4 to 6).

As Mixtral's and Qwen2-MoE's code has it: over the tokens of all sparse layers together, the share
of tokens that went to each expert times the mean probability of it, summed, times the number of
experts. It is added where config.json says so (`output_router_logits` and `router_aux_loss_coef`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import paddle
import paddle.nn.functional as F

from llm_kernels.families import FamilySpec
from llm_kernels.paddle.decoder import Decoder

COEFFICIENT = "router_aux_loss_coef"


def wanted_coefficient(spec: FamilySpec, config: Mapping[str, Any]) -> float:
    """How much of the loss the configuration adds; 0: none."""
    if spec.moe is None or not config.get("output_router_logits"):
        return 0.0
    return float(config.get(COEFFICIENT) or 0.0)


def balance(logits: Sequence[paddle.Tensor], chosen: int) -> paddle.Tensor:
    """The loss of router outputs [N, X] of each layer, whose tokens go to `chosen` experts."""
    shares = F.softmax(paddle.concat(list(logits)).astype("float32"), axis=-1)
    experts = shares.shape[-1]
    picked = F.one_hot(paddle.topk(shares, chosen, axis=-1)[1], experts)
    return (picked.mean(axis=0) * shares.mean(axis=0).unsqueeze(0)).sum() * experts


class RouterLoss:
    """Listens to the routers of `decoder`, and gives `coefficient` times their loss."""

    def __init__(self, decoder: Decoder, coefficient: float) -> None:
        self._coefficient, self._chosen = coefficient, decoder.sizes.experts_per_token
        self._heard: list[paddle.Tensor] = []
        for block in decoder.blocks:
            if block.sparse:
                block.router.register_forward_post_hook(self._listen)

    def take(self) -> paddle.Tensor | None:
        """The loss of the forward pass that has just ended; None without any."""
        heard, self._heard = self._heard, []
        return balance(heard, self._chosen) * self._coefficient if heard else None

    def _listen(self, layer: Any, _: Any, logits: paddle.Tensor) -> None:
        if layer.training and not logits.stop_gradient:
            self._heard.append(logits)
