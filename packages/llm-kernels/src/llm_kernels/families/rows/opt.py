"""OPT: learned positions with an offset; the 350M checkpoint has its norms behind the blocks."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import ACTIVATION_FUNCTION, HIDDEN_ACT
from llm_kernels.families.rows.row import Reading, Row, When
from llm_kernels.families.spec import Attention, FamilySpec, Head, Learned, Mlp, Norm

OPT = FamilySpec(
    "opt",
    norm=Norm("layer", default_eps=1e-5),
    position=Learned(offset=2),
    attention=Attention(qkv_bias=True, out_bias=True),
    mlp=Mlp("relu", gated=False, bias=True),
    head=Head(tied_default=True),
)
OPT_350M = replace(
    OPT, name="opt-350m", norm=Norm("layer", placement="post", final=False, default_eps=1e-5)
)

ARCHITECTURES = frozenset({"OPTForCausalLM", "OPTForConditionalGeneration", "OPTModel"})
READINGS = (
    ACTIVATION_FUNCTION,
    HIDDEN_ACT,
    Reading("_remove_final_layer_norm", {False: {}, True: {"norm.final": False}}),
    Reading(
        "enable_bias",
        {
            True: {},
            False: {"attention.qkv_bias": False, "attention.out_bias": False, "mlp.bias": False},
        },
    ),
    Reading("layer_norm_elementwise_affine", {True: {}}),
)
POST = (
    When(equal=(("do_layer_norm_before", False),)),
    When(equal=(("normalize_before", False),)),
)
PRE = (When(unequal=(("do_layer_norm_before", False), ("normalize_before", False))),)

ROWS = (
    Row(OPT, ARCHITECTURES, when=PRE, readings=READINGS),
    Row(OPT_350M, ARCHITECTURES, when=POST, readings=READINGS),
)
