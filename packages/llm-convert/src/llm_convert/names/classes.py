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


def class_of(spec: FamilySpec, naming: str) -> str | None:
    """The class in `naming`; None where every ecosystem uses the same name."""
    return CLASSES.get(spec.name, {}).get(naming)
