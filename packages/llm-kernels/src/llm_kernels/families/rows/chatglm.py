"""ChatGLM-6B; ChatGLM2, ChatGLM3 and GLM-4 (which differ in tokens only); GLM-4's native classes.

GLM-4 is published twice: in ChatGLM's form (`ChatGLMModel`), and as `GlmForCausalLM`; the later
`Glm4ForCausalLM` has two norms more.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from llm_kernels.families.rows.readings import HIDDEN_ACT, NORMED_RESIDUAL, QKV_BIAS
from llm_kernels.families.rows.row import Reading, Row, When
from llm_kernels.families.spec import Attention, FamilySpec, Head, Mlp, Norm, Rope

CHATGLM = FamilySpec(
    "chatglm",
    # The original code scales by its default of 28 layers, whatever the configuration's depth.
    norm=Norm("layer", residual="normed", residual_scale=sqrt(2 * 28), default_eps=1e-5),
    position=Rope(channels=2, half_precision=True),
    attention=Attention(qkv_bias=True, out_bias=True),
    mlp=Mlp("gelu_tanh", gated=False, bias=True, default_width=4),
    head=Head(tied=False),
    mask="prefix",
    length_fields=("max_sequence_length",),
)
CHATGLM2 = FamilySpec(
    "chatglm2",
    norm=Norm(default_eps=1e-5),
    position=Rope("interleaved", fraction=0.5),
    attention=Attention(qkv_bias=True),
    head=Head(tied_default=False),
    length_fields=("seq_length",),
)
GLM4 = FamilySpec(
    "glm4",
    position=Rope("interleaved", fraction=0.5),
    attention=Attention(qkv_bias=True),
)
GLM4_0414 = replace(GLM4, name="glm4-0414", norm=Norm(placement="sandwich"))

ARCHITECTURES = frozenset({"ChatGLMModel", "ChatGLMForConditionalGeneration"})

ROWS = (
    Row(
        CHATGLM,
        ARCHITECTURES | {"ChatGLMForCausalLM"},
        when=(When(absent=("padded_vocab_size", "multi_query_group_num", "ffn_hidden_size")),),
        readings=(Reading("position_encoding_2d", {True: {}}),),
    ),
    Row(
        CHATGLM2,
        ARCHITECTURES | {"ChatGLMv2ForCausalLM", "ChatGLMv2ForConditionalGeneration"},
        when=(
            When(present=("padded_vocab_size",)),
            When(present=("ffn_hidden_size",), absent=("padded_vocab_size",)),
        ),
        readings=(
            Reading("rmsnorm", {True: {}, False: {"norm.kind": "layer"}}),
            Reading("post_layer_norm", {True: {}, False: {"norm.final": False}}),
            Reading("add_qkv_bias", {True: {}, False: {"attention.qkv_bias": False}}),
            Reading(
                "add_bias_linear",
                {
                    False: {},
                    True: {
                        "attention.qkv_bias": True,
                        "attention.out_bias": True,
                        "mlp.bias": True,
                    },
                },
            ),
            NORMED_RESIDUAL,
        ),
    ),
    Row(GLM4, frozenset({"GlmForCausalLM", "GlmModel"}), readings=(HIDDEN_ACT, QKV_BIAS)),
    Row(GLM4_0414, frozenset({"Glm4ForCausalLM", "Glm4Model"}), readings=(HIDDEN_ACT, QKV_BIAS)),
)
