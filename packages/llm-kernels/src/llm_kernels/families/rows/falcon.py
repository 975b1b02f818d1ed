"""Falcon: attention and MLP in parallel, one or few KV heads, rotary positions or ALiBi.

The hub's class is `FalconForCausalLM`; PaddleNLP's and the hub's older files say `RWForCausalLM`
and have other defaults.
"""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import ACTIVATIONS
from llm_kernels.families.rows.row import Reading, Row, When
from llm_kernels.families.spec import Alibi, Attention, FamilySpec, Head, Mlp, Norm

FALCON = FamilySpec(
    "falcon",
    norm=Norm("layer", parallel=True, shared=True, default_eps=1e-5),
    attention=Attention(single_kv=True),
    mlp=Mlp("gelu", gated=False, default_width=4),
    head=Head(tied_default=True),
    default_length=2048,
)
# 40B and 180B: grouped KV heads, and a norm each for attention and MLP.
FALCON_GROUPED = replace(
    FALCON,
    name="falcon-grouped",
    norm=Norm("layer", parallel=True, default_eps=1e-5),
    attention=Attention(),
)
# 11B: grouped KV heads behind one norm.
FALCON_GROUPED_SHARED = replace(FALCON, name="falcon-grouped-shared", attention=Attention())
RW = replace(FALCON, name="rw", norm=Norm("layer", default_eps=1e-5), attention=Attention())
RW_GROUPED = replace(FALCON_GROUPED, name="rw-grouped")

HUB = frozenset({"FalconForCausalLM", "FalconModel"})
OLDER = frozenset({"RWForCausalLM", "RWModel"})
OLDER_TYPES = frozenset({"refinedweb", "refinedwebmodel", "falcon"})
SHARED = (
    Reading("alibi", {False: {}, True: {"position": Alibi(scaled=True, rounded=True)}}),
    Reading(
        "bias",
        {
            False: {},
            True: {"attention.qkv_bias": True, "attention.out_bias": True, "mlp.bias": True},
        },
    ),
    Reading("activation", {name: {"mlp.activation": kind} for name, kind in ACTIVATIONS.items()}),
)
MULTI_QUERY = Reading(
    "multi_query", {True: {"attention.single_kv": True}, False: {"attention.single_kv": False}}
)
PARALLEL = Reading(
    "parallel_attn",
    {
        True: {"norm.parallel": True, "norm.shared": True},
        False: {"norm.parallel": False, "norm.shared": False},
    },
)
ALWAYS_PARALLEL = Reading("parallel_attn", {True: {}})
GROUPED = ("new_decoder_architecture", True)
ONE_NORM = ("num_ln_in_parallel_attn", 1)

ROWS = (
    Row(FALCON, HUB, when=(When(unequal=(GROUPED,)),), readings=(*SHARED, MULTI_QUERY, PARALLEL)),
    Row(
        FALCON_GROUPED,
        HUB,
        when=(When(equal=(GROUPED,), unequal=(ONE_NORM,)),),
        readings=(*SHARED, ALWAYS_PARALLEL, Reading("num_ln_in_parallel_attn", {2: {}})),
    ),
    Row(
        FALCON_GROUPED_SHARED,
        HUB,
        when=(When(equal=(GROUPED, ONE_NORM)),),
        readings=(*SHARED, ALWAYS_PARALLEL),
    ),
    # The older 40B files count KV heads and say nothing of multi_query; the others do say.
    Row(
        RW,
        OLDER,
        when=(When(present=("multi_query",)), When(absent=("n_head_kv", "multi_query"))),
        readings=(*SHARED, MULTI_QUERY, PARALLEL),
        other_types=OLDER_TYPES,
    ),
    Row(
        RW_GROUPED,
        OLDER,
        when=(When(present=("n_head_kv",), absent=("multi_query",)),),
        readings=(*SHARED, ALWAYS_PARALLEL),
        other_types=OLDER_TYPES,
    ),
)
