"""LLaMA and the families that differ from it by an axis or two: Baichuan, Mistral, Phi-3."""

from __future__ import annotations

from dataclasses import replace

from llm_kernels.families.rows.readings import ATTENTION_BIAS, HIDDEN_ACT, MLP_BIAS
from llm_kernels.families.rows.row import Reading, Row, When
from llm_kernels.families.spec import Alibi, FamilySpec, Head

LLAMA = FamilySpec("llama")
MISTRAL = replace(LLAMA, name="mistral")
PHI3 = replace(LLAMA, name="phi3")
BAICHUAN_7B = replace(LLAMA, name="baichuan-7b")
BAICHUAN_13B = replace(LLAMA, name="baichuan-13b", position=Alibi())
BAICHUAN2_7B = replace(LLAMA, name="baichuan2-7b", head=Head(normalized=True))
BAICHUAN2_13B = replace(BAICHUAN_13B, name="baichuan2-13b", head=Head(normalized=True))

# PaddleNLP runs Baichuan-13B v1 as a LLaMA with this flag.
ALIBI = Reading("alibi", {False: {}, True: {"position": Alibi()}})

# The 13B configurations state model_max_length and no max_position_embeddings. The second version
# writes z_loss_weight and has this vocabulary; the first version of 7B spells BaiChuan.
BAICHUAN2_VOCAB = 125_696

ROWS = (
    Row(
        LLAMA,
        frozenset({"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"}),
        readings=(HIDDEN_ACT, ATTENTION_BIAS, MLP_BIAS, ALIBI),
    ),
    Row(MISTRAL, frozenset({"MistralForCausalLM", "MistralModel"}), readings=(HIDDEN_ACT,)),
    Row(PHI3, frozenset({"Phi3ForCausalLM", "Phi3Model"}), readings=(HIDDEN_ACT,)),
    Row(
        BAICHUAN_7B,
        frozenset({"BaiChuanForCausalLM"}),
        when=(When(present=("max_position_embeddings",)),),
        readings=(HIDDEN_ACT,),
    ),
    Row(
        BAICHUAN2_7B,
        frozenset({"BaichuanForCausalLM"}),
        when=(When(present=("max_position_embeddings",)),),
        readings=(HIDDEN_ACT,),
    ),
    Row(
        BAICHUAN_13B,
        frozenset({"BaichuanForCausalLM"}),
        when=(
            When(
                absent=("max_position_embeddings", "z_loss_weight"),
                unequal=(("vocab_size", BAICHUAN2_VOCAB),),
            ),
        ),
        readings=(HIDDEN_ACT,),
    ),
    Row(
        BAICHUAN2_13B,
        frozenset({"BaichuanForCausalLM"}),
        when=(
            When(present=("z_loss_weight",), absent=("max_position_embeddings",)),
            When(
                absent=("max_position_embeddings", "z_loss_weight"),
                equal=(("vocab_size", BAICHUAN2_VOCAB),),
            ),
        ),
        readings=(HIDDEN_ACT,),
    ),
)
