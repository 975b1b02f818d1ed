"""Every operation of the decoder in plain NumPy: the definition of correct.

Readable first, but quick enough to be the oracle of the native and the Paddle code. Arrays come in
and go out as float32; reductions whose error would show run in float64.
"""

from __future__ import annotations

from llm_kernels.reference.activations import (
    ACTIVATIONS,
    gelu,
    gelu_tanh,
    relu,
    sigmoid,
    silu,
    softmax,
)
from llm_kernels.reference.attention import (
    alibi_bias,
    alibi_slopes,
    attention,
    bfloat16,
    gather_blocks,
    paged_attention,
    soft_cap,
    visible,
)
from llm_kernels.reference.experts import mix_experts, route
from llm_kernels.reference.key_value_cache import (
    MOST_CODE,
    CacheDtype,
    dequantize_cache,
    kept,
    quantize_cache,
)
from llm_kernels.reference.linear import Adapted, Quantized, Weight, dense, linear
from llm_kernels.reference.merge_low_rank import merge_low_rank
from llm_kernels.reference.norms import layer_norm, rms_norm, unit_rows
from llm_kernels.reference.rope import (
    apply_rope,
    attention_factor,
    check_stretch,
    cos_sin,
    inverse_frequencies,
    logn_scale,
    rotate,
    rotated_dim,
)

__all__ = [
    "ACTIVATIONS",
    "MOST_CODE",
    "Adapted",
    "CacheDtype",
    "Quantized",
    "Weight",
    "alibi_bias",
    "alibi_slopes",
    "apply_rope",
    "attention",
    "attention_factor",
    "bfloat16",
    "check_stretch",
    "cos_sin",
    "dense",
    "dequantize_cache",
    "gather_blocks",
    "gelu",
    "gelu_tanh",
    "inverse_frequencies",
    "kept",
    "layer_norm",
    "linear",
    "logn_scale",
    "merge_low_rank",
    "mix_experts",
    "paged_attention",
    "quantize_cache",
    "relu",
    "rms_norm",
    "rotate",
    "rotated_dim",
    "route",
    "sigmoid",
    "silu",
    "soft_cap",
    "softmax",
    "unit_rows",
    "visible",
]
