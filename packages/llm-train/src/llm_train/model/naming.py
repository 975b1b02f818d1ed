"""Under which names a trained model is written."""

from __future__ import annotations

from llm_convert.layout import Layout
from llm_convert.saving import Naming
from llm_kernels.families import FamilySpec, Sizes, parameters


def naming_of(spec: FamilySpec, sizes: Sizes) -> Naming:
    """PaddleNLP's, or the hub's where PaddleNLP has no place for a parameter.

    That is the head of ChatGLM-6B: PaddleNLP takes the embedding for it, and once trained they
    differ.
    """
    places = Layout.of(spec, sizes, "paddlenlp").source
    return "paddlenlp" if all(key in places for key in parameters(spec, sizes)) else "hf"
