"""The native ops, one a module, each the twin of a function in `llm_kernels.reference`.

Arrays are C-contiguous NumPy arrays of the dtype that each docstring names; anything else is a
ValueError that says what was found. `isa` chooses the instruction set (`scalar`, `avx2`, `avx512`;
None: the best there is), `threads` how many threads (None: every processor). A row of the result
depends on that row of the input alone, never on the rows beside it.
"""

from __future__ import annotations

from llm_kernels.ops.activation import activation
from llm_kernels.ops.layer_norm import layer_norm
from llm_kernels.ops.linear import PackedLinear, linear, pack
from llm_kernels.ops.merge_low_rank import merge_low_rank
from llm_kernels.ops.paged_attention import paged_attention, store_key_value
from llm_kernels.ops.rms_norm import rms_norm
from llm_kernels.ops.rope import rope
from llm_kernels.ops.transpose import transpose

__all__ = [
    "PackedLinear",
    "activation",
    "layer_norm",
    "linear",
    "merge_low_rank",
    "pack",
    "paged_attention",
    "rms_norm",
    "rope",
    "store_key_value",
    "transpose",
]
