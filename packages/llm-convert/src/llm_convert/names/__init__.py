"""How the ecosystems name and lay out each family: tables only, both directions derived from them.

`checkpoints(spec)` gives the tables of a family by naming: "hf" (the hub's files), "paddlenlp",
for LLaMA "meta", and for some "gguf". What the layouts mean is `llm_convert.layout`'s knowledge.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from llm_convert.errors import ConvertError
from llm_convert.names import bloom, chatglm, deepseek, falcon, gguf, gpt, llama, moe, opt, qwen
from llm_convert.names.checkpoint import FUSED, Checkpoint
from llm_kernels.families import FamilySpec

_OWN: Mapping[str, Mapping[str, Checkpoint]] = MappingProxyType(
    {
        **llama.TABLES,
        **moe.TABLES,
        **qwen.TABLES,
        **gpt.TABLES,
        **opt.TABLES,
        **bloom.TABLES,
        **chatglm.TABLES,
        **falcon.TABLES,
        **deepseek.TABLES,
    }
)
TABLES: Mapping[str, Mapping[str, Checkpoint]] = MappingProxyType(
    {
        family: {**tables, "gguf": gguf.TABLES[family]} if family in gguf.TABLES else tables
        for family, tables in _OWN.items()
    }
)

__all__ = ["FUSED", "TABLES", "Checkpoint", "checkpoint", "checkpoints"]


def checkpoints(spec: FamilySpec) -> Mapping[str, Checkpoint]:
    """The family's tables by naming; ConvertError for a family without any."""
    if spec.name not in TABLES:
        message = (
            f"No name table for the family {spec.name}, so its files can be neither read nor "
            f"written. Families with tables: {', '.join(sorted(TABLES))}."
        )
        raise ConvertError(message)
    return TABLES[spec.name]


def checkpoint(spec: FamilySpec, naming: str) -> Checkpoint:
    """The family's table of one naming; ConvertError that lists the namings it has."""
    tables = checkpoints(spec)
    if naming not in tables:
        message = (
            f"The family {spec.name} has no files in the naming {naming!r}. "
            f"Choose one of {', '.join(tables)}."
        )
        raise ConvertError(message)
    return tables[naming]
