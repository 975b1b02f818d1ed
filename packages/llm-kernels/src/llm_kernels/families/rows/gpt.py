"""GPT-2, and the GPT-3 sizes that PaddleNLP gives the same structure."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import ACTIVATION_FUNCTION
from llm_kernels.families.rows.row import Reading, Row
from llm_kernels.families.spec import Attention, FamilySpec, Head, Learned, Mlp, Norm

GPT2 = FamilySpec(
    "gpt2",
    norm=Norm("layer", default_eps=1e-5),
    position=Learned(),
    attention=Attention(qkv_bias=True, out_bias=True),
    mlp=Mlp("gelu_tanh", gated=False, bias=True, default_width=4),
    head=Head(tied_default=True),
)
GPT3 = replace(GPT2, name="gpt3")

ROWS = (
    Row(
        GPT2,
        frozenset({"GPT2LMHeadModel", "GPT2Model"}),
        readings=(
            ACTIVATION_FUNCTION,
            Reading("scale_attn_weights", {True: {}}),
            Reading("scale_attn_by_inverse_layer_idx", {False: {}}),
            Reading("add_cross_attention", {False: {}}),
        ),
    ),
    Row(
        # PaddleNLP's hidden_act "gelu" is the tanh form there, so the field changes nothing.
        GPT3,
        frozenset({"GPTForCausalLM", "GPTForPretraining", "GPTLMHeadModel", "GPTForGeneration"}),
        readings=(Reading("hidden_act", {"gelu": {}, "relu": {"mlp.activation": "relu"}}),),
        other_types=frozenset({"gpt2"}),
    ),
)
