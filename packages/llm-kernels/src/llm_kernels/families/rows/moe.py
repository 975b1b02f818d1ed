"""The mixtures of experts: Qwen2-MoE and Mixtral."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.llama import LLAMA
from llm_kernels.families.rows.qwen import QWEN2
from llm_kernels.families.rows.readings import HIDDEN_ACT
from llm_kernels.families.rows.row import Row
from llm_kernels.families.spec import Moe

QWEN2_MOE = replace(QWEN2, name="qwen2-moe", moe=Moe(shared_expert=True))
MIXTRAL = replace(LLAMA, name="mixtral", moe=Moe(renormalize=True))

ROWS = (
    Row(
        QWEN2_MOE,
        frozenset({"Qwen2MoeForCausalLM", "Qwen2MoeModel"}),
        readings=(HIDDEN_ACT,),
    ),
    Row(MIXTRAL, frozenset({"MixtralForCausalLM", "MixtralModel"}), readings=(HIDDEN_ACT,)),
)
