"""Which parameters AdamW's weight decay shrinks: matrices, whatever they are called.

Norms, biases and a router's correction are vectors; a scale that decays towards 0 is no scale.
"""

from __future__ import annotations

from paddle import nn


def decayed(model: nn.Layer) -> set[str]:
    """Names, as in `named_parameters`, of the parameters with more than one axis."""
    return {name for name, parameter in model.named_parameters() if len(parameter.shape) > 1}
