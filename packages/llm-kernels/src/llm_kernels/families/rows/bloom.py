"""Bloom: ALiBi, a norm behind the embedding, and per-head fused attention weights."""

from __future__ import annotations

from llm_kernels.families.rows.readings import NORMED_RESIDUAL
from llm_kernels.families.rows.row import Row
from llm_kernels.families.spec import Alibi, Attention, FamilySpec, Head, Mlp, Norm

BLOOM = FamilySpec(
    "bloom",
    norm=Norm("layer", embedding=True, default_eps=1e-5),
    position=Alibi(),
    attention=Attention(qkv_bias=True, out_bias=True),
    mlp=Mlp("gelu_tanh", gated=False, bias=True, default_width=4),
    head=Head(tied_default=True),
    length_fields=("seq_length", "max_position_embeddings"),
)

ROWS = (
    Row(
        BLOOM,
        frozenset({"BloomForCausalLM", "BloomModel"}),
        readings=(NORMED_RESIDUAL,),
    ),
)
