"""What a config.json asks of training that is not there: it is said, never left out silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DROPOUT = ("dropout", "pdrop", "layerdrop")
_OTHER_HEADS = ("summary_", "classifier_")
_BALANCE, _SWITCH = "router_aux_loss_coef", "output_router_logits"
_ROUTER_LOSS = frozenset({"router_aux_loss_coef", "aux_loss_alpha", "router_z_loss_coef"})


def ignored_by_training(config: Mapping[str, Any], *, staged: bool = False) -> dict[str, float]:
    """Fields of `config` that change training elsewhere and are not 0: dropouts, router losses.

    `router_aux_loss_coef` counts only with `output_router_logits`, as in PaddleNLP, and is then
    followed, but not where the model is `staged`, spread over a pipeline.
    """
    balanced = _BALANCE in config and (not config.get(_SWITCH) or not staged)
    return {
        name: value
        for name, value in config.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and value > 0
        and (name in _ROUTER_LOSS or _drops(name))
        and not (name == _BALANCE and balanced)
    }


def _drops(name: str) -> bool:
    return any(word in name for word in _DROPOUT) and not name.startswith(_OTHER_HEADS)
