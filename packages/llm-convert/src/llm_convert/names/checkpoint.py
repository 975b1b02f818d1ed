"""The type of a name table: how one ecosystem stores the parameters of one family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal, TypeAlias

from llm_kernels.families.slots import Split

Names: TypeAlias = Mapping[str, str]

FUSED: Mapping[str, tuple[str, ...]] = {
    "qkv": ("q", "k", "v"),
    "gate_up": ("gate", "up"),
    "expert_gate_up": ("expert_gate", "expert_up"),
    "shared_gate_up": ("shared_gate", "shared_up"),
}

# Buffers that some versions of the original code saved beside the weights.
BUFFERS = (r"rotary_emb\.(inv_freq|cos_cached|sin_cached)$", r"rotary_pos_emb\.inv_freq$")


@dataclass(frozen=True)
class Checkpoint:
    """How files of one ecosystem hold a family.

    `names`: slot, or fused slot (a key of FUSED) -> stem with {layer} and {expert}; ".weight" and
    ".bias" are derived. `qkv` blocked: rows [Q | K | V]; per_head: [q.. k v] for each KV head in
    turn, its query heads first. The other fused slots are [gate | up]. `rope_rows` pairs: rotated
    rows adjacent, as Meta stores q and k, also where the model rotates halves. `linear` in_out:
    linears transposed (Conv1D, Paddle).
    `head`: the full name of the head, which a file may repeat although it is tied; empty where the
    embedding always serves. `head_rows`: the head is stored [V, E] although `linear` is in_out.
    `raw_head`: where a head whose rows are scaled when used lies as it is; `head` then holds the
    scaled rows, for tools that use them as they are.
    `head_repeated`: a tied head is written as well, for tools that never tie it.
    `parallel`: slots that tensor parallel training splits otherwise than SLOTS says. `rank_qkv`
    per_head: each rank's fused q, k and v lie head by head although the whole is blocked.
    `bare`: slot -> full name with {layer}, for parameters without ".weight" behind it.
    `predictor`: a name that a layer beyond the last holds where it predicts a further token; such
    layers are left out.
    `optional_prefix`: may be absent from stored names. `ignore`: patterns of stored names that are
    no parameters; kept out of `names` so that the table can be inverted. `variants`: other ways the
    same ecosystem stores the family; read, never written.
    """

    names: Names
    qkv: Literal["blocked", "per_head"] = "blocked"
    rope_rows: Literal["half", "pairs"] = "half"
    linear: Literal["out_in", "in_out"] = "out_in"
    head: str = "lm_head.weight"
    head_rows: bool = False
    raw_head: str = ""
    head_repeated: bool = False
    bare: Names = field(default_factory=dict)
    parallel: Mapping[str, Split] = field(default_factory=dict)
    rank_qkv: Literal["", "per_head"] = ""
    predictor: str = ""
    optional_prefix: str = ""
    ignore: tuple[str, ...] = BUFFERS
    variants: tuple[Checkpoint, ...] = ()

    def forms(self) -> tuple[Checkpoint, ...]:
        """This form, which is written, and the variants, which are only read."""
        return (self, *self.variants)


def under(prefix: str, names: Names) -> dict[str, str]:
    """The same table with `prefix` before every stem."""
    return {slot: prefix + stem for slot, stem in names.items()}


def without(names: Names, *slots: str) -> dict[str, str]:
    """The same table without `slots`."""
    return {slot: stem for slot, stem in names.items() if slot not in slots}


def with_fused(checkpoint: Checkpoint, *groups: Names) -> Checkpoint:
    """PaddleNLP's `fuse_attention_qkv` and `fuse_attention_ffn` as variants of an unfused table.

    Each group maps fused slots to stems and is switched by one flag, so every choice of groups is
    a variant. Fused q, k and v lie head by head.
    """
    variants = []
    for count in range(1, len(groups) + 1):
        for chosen in combinations(groups, count):
            fused = {slot: stem for group in chosen for slot, stem in group.items()}
            parts = [part for slot in fused for part in FUSED[slot]]
            table = {**without(checkpoint.names, *parts), **fused}
            qkv = "per_head" if "qkv" in fused else checkpoint.qkv
            variants.append(replace(checkpoint, names=table, qkv=qkv))
    return replace(checkpoint, variants=tuple(variants))
