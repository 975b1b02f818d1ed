"""Which linears of a model get an adapter, from the names that people use for them.

A target is a slot (`q`, `down`), or a module as PaddleNLP's or Hugging Face's files name it, whole
or from any dot on (`q_proj`, `self_attn.q_proj`, `W_pack`). A fused module stands for its parts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from llm_convert.names import FUSED, checkpoints
from llm_kernels.families import FamilySpec, ParameterKey, Sizes, adaptable_slots, parameters
from llm_peft.errors import TargetError


def target_keys(
    spec: FamilySpec, sizes: Sizes, targets: Sequence[str] | None
) -> list[ParameterKey]:
    """Weights to adapt, in the order of the model; `targets` None means every adaptable linear.

    Raises TargetError for a name that the family does not have, listing those it has.
    """
    slots = _adaptable(spec) if targets is None else _slots_of(spec, targets)
    return [key for key in parameters(spec, sizes) if key.slot in slots and key.leaf == "weight"]


def _slots_of(spec: FamilySpec, targets: Iterable[str]) -> set[str]:
    names = _names(spec)
    slots: set[str] = set()
    for target in targets:
        if target not in names:
            near = difflib.get_close_matches(target, names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            message = (
                f"--target_modules {target}: the family {spec.name} has no linear of that name to "
                f"adapt.{hint} It has {', '.join(sorted(_adaptable(spec)))}."
            )
            raise TargetError(message)
        slots |= names[target]
    return slots


def _names(spec: FamilySpec) -> dict[str, set[str]]:
    """Every name a target may have -> its slots; one name may mean several (`gate_proj`)."""
    adaptable = _adaptable(spec)
    names = {slot: {slot} for slot in adaptable}
    for table in checkpoints(spec).values():
        for form in table.forms():
            for slot, stem in form.names.items():
                slots = adaptable & set(FUSED.get(slot, (slot,)))
                parts = stem.split(".")
                for start in range(len(parts)):
                    name = ".".join(parts[start:])
                    if slots and "{" not in name:
                        names.setdefault(name, set()).update(slots)
    return names


def _adaptable(spec: FamilySpec) -> set[str]:
    return {*adaptable_slots(spec), *adaptable_slots(spec, dense_layer=True)}
