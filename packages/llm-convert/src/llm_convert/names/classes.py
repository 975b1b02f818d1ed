"""What the ecosystems call a family's model class in `architectures`, where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_kernels.families import FamilySpec

CLASSES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "qwen": {"hf": "QWenLMHeadModel", "paddlenlp": "QWenForCausalLM"},
        "gpt2": {"hf": "GPT2LMHeadModel", "paddlenlp": "GPTForCausalLM"},
        "gpt3": {"hf": "GPT2LMHeadModel", "paddlenlp": "GPTForCausalLM"},
        "falcon": {"hf": "FalconForCausalLM", "paddlenlp": "RWForCausalLM"},
        "rw": {"hf": "FalconForCausalLM", "paddlenlp": "RWForCausalLM"},
        "chatglm": {"hf": "ChatGLMForConditionalGeneration", "paddlenlp": "ChatGLMForCausalLM"},
        "chatglm2": {"hf": "ChatGLMForConditionalGeneration", "paddlenlp": "ChatGLMv2ForCausalLM"},
    }
)

RUN_BY: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("baichuan-7b", "baichuan-13b", "baichuan2-7b", "baichuan2-13b"), "LlamaForCausalLM"
    )
)
"""Family that PaddleNLP has no class for -> its class that computes the same from the same names.

The head of Baichuan2 is written with its rows scaled for it (`Checkpoint.raw_head`).
"""

_V2 = MappingProxyType({"topk_method": "greedy"})
_V3 = MappingProxyType({"topk_method": "noaux_tc", "scoring_func": "sigmoid"})
STATED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"deepseek-v2": _V2, "deepseek-v2-lite": _V2, "deepseek-v3": _V3, "deepseek-v3-lite": _V3}
)
"""What a family is without a word, and PaddleNLP's class is only where config.json says so."""


def class_of(spec: FamilySpec, naming: str) -> str | None:
    """The class in `naming`; None where every ecosystem uses the same name."""
    return CLASSES.get(spec.name, {}).get(naming)


def run_by(spec: FamilySpec) -> str | None:
    """The class of another family that computes this one in PaddleNLP; None where it has its own.

    Its files keep the hub's `architectures`, which say more, beside PaddleNLP's `init_class`.
    """
    return RUN_BY.get(spec.name)
