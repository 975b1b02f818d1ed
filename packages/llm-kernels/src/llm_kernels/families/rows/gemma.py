"""Gemma 1 and 2: norms around one plus their weight, a scaled embedding; capped scores in 2."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import ATTENTION_BIAS, HIDDEN_ACT, HIDDEN_ACTIVATION
from llm_kernels.families.rows.row import Row
from llm_kernels.families.spec import Attention, FamilySpec, Head, Mlp, Norm

GEMMA = FamilySpec(
    "gemma",
    norm=Norm(unit_offset=True),
    mlp=Mlp("gelu_tanh"),
    head=Head(tied_default=True),
    scaled_embedding=True,
)
GEMMA2 = replace(
    GEMMA,
    name="gemma2",
    norm=Norm(unit_offset=True, placement="sandwich"),
    attention=Attention(scale="stated", capped=True, windowed="even"),
    head=Head(tied_default=True, capped=True),
)

ROWS = (
    Row(
        GEMMA,
        frozenset({"GemmaForCausalLM", "GemmaModel"}),
        readings=(HIDDEN_ACT, HIDDEN_ACTIVATION, ATTENTION_BIAS),
    ),
    Row(
        GEMMA2,
        frozenset({"Gemma2ForCausalLM", "Gemma2Model"}),
        readings=(HIDDEN_ACTIVATION, ATTENTION_BIAS),
    ),
)
