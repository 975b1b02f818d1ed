"""Fields of config.json that several families read in the same way."""

from __future__ import annotations

from llm_kernels.families.rows.row import Reading
from llm_kernels.families.spec import Activation

# gelu_new, gelu_fast and gelu_pytorch_tanh are spellings of the tanh form.
ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
_ACTIVATION_CHANGES = {name: {"mlp.activation": value} for name, value in ACTIVATIONS.items()}

HIDDEN_ACT = Reading("hidden_act", _ACTIVATION_CHANGES)
HIDDEN_ACTIVATION = Reading("hidden_activation", _ACTIVATION_CHANGES)
ACTIVATION_FUNCTION = Reading("activation_function", _ACTIVATION_CHANGES)
ATTENTION_BIAS = Reading(
    "attention_bias",
    {False: {}, True: {"attention.qkv_bias": True, "attention.out_bias": True}},
)
QKV_BIAS = Reading(
    "attention_bias",
    {False: {"attention.qkv_bias": False}, True: {"attention.qkv_bias": True}},
)
STATED_QKV_BIAS = Reading(
    "qkv_bias",
    {False: {"attention.qkv_bias": False}, True: {"attention.qkv_bias": True}},
)
MLP_BIAS = Reading("mlp_bias", {False: {}, True: {"mlp.bias": True}})
NORMED_RESIDUAL = Reading(
    "apply_residual_connection_post_layernorm",
    {False: {}, True: {"norm.residual": "normed"}},
)
