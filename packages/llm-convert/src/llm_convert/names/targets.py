"""Which modules of an ecosystem's model adapters may target, by the names that its users write."""

from __future__ import annotations

import re

from llm_convert.names import checkpoint
from llm_convert.names.checkpoint import FUSED
from llm_kernels.families import FamilySpec, adaptable_slots

_ABOVE_THE_BLOCK = re.compile(r".*\{(?:layer|expert)\}\.")


def adapter_targets(spec: FamilySpec, naming: str) -> tuple[str, ...]:
    """Module names below one block (or one expert) that LoRA may target, sorted.

    Bloom on the hub: mlp.dense_4h_to_h, mlp.dense_h_to_4h, self_attention.dense,
    self_attention.query_key_value. A fused module stands for all of its parts. Raises ConvertError
    for a naming that the family does not have.
    """
    names = checkpoint(spec, naming).names
    slots = {*adaptable_slots(spec), *adaptable_slots(spec, dense_layer=True)}
    stems = [names[slot] for slot in slots if slot in names]
    stems += [names[fused] for fused, parts in FUSED.items() if fused in names and slots & {*parts}]
    return tuple(sorted({_ABOVE_THE_BLOCK.sub("", stem) for stem in stems}))
