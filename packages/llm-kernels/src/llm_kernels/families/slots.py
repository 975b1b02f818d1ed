"""What a parameter is for: the vocabulary that all families share.

Every row states what the toolchain asks about such a parameter, once: how tensor parallelism splits
it, whether it is a target of adapters and quantization, and which linears read the same activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["column", "row", "vocab", "replicated"]


@dataclass(frozen=True)
class Slot:
    """One purpose of a parameter.

    `split`: column = by output rows, row = by input columns, vocab = by rows of the vocabulary.
    `adaptable`: a target of LoRA and quantization. `shared_input`: linears of a block with the same
    word read the same activation (one GPTQ group, one fused product).
    `scope`: one per model, per layer, or per expert of a layer.
    """

    kind: Literal["linear", "norm", "table"]
    split: Split = "replicated"
    adaptable: bool = False
    shared_input: str = ""
    scope: Literal["model", "layer", "expert"] = "layer"


def _linear(split: Split, shared_input: str, scope: Literal["layer", "expert"] = "layer") -> Slot:
    return Slot("linear", split, adaptable=True, shared_input=shared_input, scope=scope)


SLOTS: Mapping[str, Slot] = MappingProxyType(
    {
        "embed": Slot("table", "vocab", scope="model"),
        "positions": Slot("table", scope="model"),
        "block_positions": Slot("table", scope="model"),
        "embed_norm": Slot("norm", scope="model"),
        "project_in": Slot("linear", scope="model"),
        "project_out": Slot("linear", scope="model"),
        "attn_norm": Slot("norm"),
        "q_down": _linear("replicated", "attn_in"),
        "kv_down": _linear("replicated", "attn_in"),
        "q": _linear("column", "attn_in"),
        "k": _linear("column", "attn_in"),
        "v": _linear("column", "attn_in"),
        "q_norm": Slot("norm"),
        "k_norm": Slot("norm"),
        "q_down_norm": Slot("norm"),
        "q_up": _linear("column", "q_latent"),
        "kv_down_norm": Slot("norm"),
        "kv_up": _linear("column", "kv_latent"),
        "out": _linear("row", "attn_out"),
        "attn_out_norm": Slot("norm"),
        "mlp_norm": Slot("norm"),
        "gate": _linear("column", "mlp_in"),
        "up": _linear("column", "mlp_in"),
        "down": _linear("row", "mlp_out"),
        "router": Slot("linear"),
        "router_correction": Slot("table"),
        "expert_gate": _linear("column", "mlp_in", "expert"),
        "expert_up": _linear("column", "mlp_in", "expert"),
        "shared_router": Slot("linear"),
        "shared_gate": _linear("column", "mlp_in"),
        "shared_up": _linear("column", "mlp_in"),
        "expert_down": _linear("row", "expert_out", "expert"),
        "shared_down": _linear("row", "shared_out"),
        "mlp_out_norm": Slot("norm"),
        "final_norm": Slot("norm", scope="model"),
        "head": Slot("linear", "column", scope="model"),
    }
)
