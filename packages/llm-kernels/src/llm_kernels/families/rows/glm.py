"""GLM (10B, large): two tables of learned positions and a prefix mask."""

from __future__ import annotations

from llm_kernels.families.rows.row import Reading, Row
from llm_kernels.families.spec import Attention, FamilySpec, Head, Learned, Mlp, Norm

GLM = FamilySpec(
    "glm",
    norm=Norm("layer", default_eps=1e-5),
    position=Learned(block=True),
    attention=Attention(qkv_bias=True, out_bias=True),
    # The hub's code uses the erf form; the weights were trained with it.
    mlp=Mlp("gelu", gated=False, bias=True, default_width=4),
    head=Head(tied_default=True),
    mask="prefix",
    length_fields=("max_sequence_length",),
)

ROWS = (
    Row(
        GLM,
        frozenset({"GLMModel", "GLMForConditionalGeneration"}),
        readings=(
            Reading("block_position_encoding", {True: {}}),
            Reading("relative_encoding", {False: {}}),
            Reading("attention_scale", {1.0: {}}),
        ),
    ),
)
