"""What follows from the slots: quantization groups and adapter targets of a family."""

from __future__ import annotations

from llm_kernels.families.slots import SLOTS
from llm_kernels.families.spec import FamilySpec

_ATTENTION = {
    "none": ("q", "k", "v", "out"),
    "kv": ("q", "kv_down", "kv_up", "out"),
    "qkv": ("q_down", "q_up", "kv_down", "kv_up", "out"),
}
_EXPERTS = ("expert_gate", "expert_up", "expert_down")
_SHARED = ("shared_gate", "shared_up", "shared_down")


def adaptable_slots(spec: FamilySpec, *, dense_layer: bool = False) -> tuple[str, ...]:
    """Slots of one layer that LoRA and quantization may target, in forward order.

    `dense_layer` asks for the layers of a mixture of experts that keep a plain MLP.
    """
    present = set(_ATTENTION[spec.attention.latent])
    if spec.moe is None or dense_layer:
        present |= {"gate", "up", "down"} if spec.mlp.gated else {"up", "down"}
    else:
        present |= {*_EXPERTS, *(_SHARED if spec.moe.shared_expert else ())}
    return tuple(slot for slot in SLOTS if slot in present)


def quantization_groups(
    spec: FamilySpec, *, dense_layer: bool = False
) -> tuple[tuple[str, ...], ...]:
    """The adaptable slots of one layer, those that read the same activation together.

    LLaMA: (q, k, v), (out), (gate, up), (down). Calibration visits the groups in this order, and an
    engine may fuse each group into one product.
    """
    groups: dict[str, list[str]] = {}
    for slot in adaptable_slots(spec, dense_layer=dense_layer):
        groups.setdefault(SLOTS[slot].shared_input, []).append(slot)
    return tuple(tuple(group) for group in groups.values())
