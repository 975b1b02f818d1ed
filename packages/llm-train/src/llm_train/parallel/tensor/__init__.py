"""Tensor parallelism: layers that hold one rank's share, for the decoder of llm_kernels.

`parallel_layers` fills the decoder's seam (`llm_kernels.paddle.layers.Layers`). Split parameters
carry `is_distributed`; whole ones whose gradient a rank knows in part carry `partial`, and their
gradients are added up over the group before the optimizer's step.
"""

from __future__ import annotations

from llm_train.parallel.tensor.factories import mark_partial, parallel_layers
from llm_train.parallel.tensor.loss import parallel_hits, parallel_summed_loss

__all__ = ["mark_partial", "parallel_hits", "parallel_layers", "parallel_summed_loss"]
