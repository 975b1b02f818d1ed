"""Which tensors a checkpoint of a naming holds: name -> canonical parts, layout, stored shape."""

from __future__ import annotations

from dataclasses import dataclass, replace

from llm_convert.errors import ConvertError
from llm_convert.layout.transforms import Interleaving, RotaryPairs
from llm_convert.names import FUSED, Checkpoint
from llm_kernels.families import SLOTS, FamilySpec, ParameterKey, Rope, Sizes, parameters

HEAD = ParameterKey("head")
EMBED = ParameterKey("embed")
PART_OF = {part: fused for fused, parts in FUSED.items() for part in parts}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file.

    `shape` is the shape in the file. `fusion` is None for a tensor that holds one parameter;
    `transposed`: stored [in, out]; `rope_pairs`: which of its rows are in adjacent rotary pairs;
    `normalized`: its rows are scaled to length one, which has no inverse, so it is only written.
    """

    name: str
    parts: tuple[ParameterKey, ...]
    shape: tuple[int, ...]
    fusion: Interleaving | None = None
    transposed: bool = False
    rope_pairs: RotaryPairs | None = None
    normalized: bool = False


def stored_tensors(
    spec: FamilySpec, sizes: Sizes, checkpoint: Checkpoint
) -> dict[str, StoredTensor]:
    """Every tensor of the model in this checkpoint form, by full stored name, in forward order.

    An untied head is absent where the ecosystem stores none. Raises ConvertError for a parameter
    that the table does not name.
    """
    tensors: dict[str, StoredTensor] = {}
    if sizes.tied and checkpoint.head_repeated:
        head = _head((sizes.vocab, sizes.embed_dim), checkpoint)
        tensors[head.name] = replace(head, parts=(EMBED,))
    for key, shape in parameters(spec, sizes).items():
        if key == HEAD:
            if checkpoint.head:
                head = _head(shape, checkpoint)
                raw = checkpoint.raw_head
                tensors[head.name] = replace(head, normalized=bool(raw))
                if raw:
                    # Behind the other, so that the head is read from here.
                    tensors[raw] = replace(head, name=raw)
            continue
        if key.slot in checkpoint.bare:
            name = checkpoint.bare[key.slot].format(layer=key.layer)
            tensors[name] = StoredTensor(name, (key,), shape)
            continue
        fused = PART_OF.get(key.slot, "")
        slot = fused if fused in checkpoint.names else key.slot
        if slot not in checkpoint.names:
            message = (
                f"The family {spec.name} has a parameter {key.name}, which this naming does not "
                "store. Choose another naming."
            )
            raise ConvertError(message)
        stem = checkpoint.names[slot].format(layer=key.layer, expert=key.expert)
        name = f"{stem}.{key.leaf}"
        if name not in tensors:
            stored = _stored(name, key, slot, shape, sizes, checkpoint)
            tensors[name] = replace(stored, rope_pairs=_rope_pairs(spec, slot, sizes, checkpoint))
    return tensors


def _head(shape: tuple[int, ...], checkpoint: Checkpoint) -> StoredTensor:
    transposed = checkpoint.linear == "in_out" and not checkpoint.head_rows
    stored = shape[::-1] if transposed else shape
    return StoredTensor(checkpoint.head, (HEAD,), stored, transposed=transposed)


def _stored(
    name: str,
    key: ParameterKey,
    slot: str,
    shape: tuple[int, ...],
    sizes: Sizes,
    checkpoint: Checkpoint,
) -> StoredTensor:
    fusion = None
    parts: tuple[ParameterKey, ...] = (key,)
    if slot in FUSED:
        parts = tuple(key._replace(slot=part) for part in FUSED[slot])
        fusion = _interleaving(slot, shape[0], sizes, checkpoint)
        shape = (fusion.rows, *shape[1:])
    linear = SLOTS[key.slot].kind == "linear" and key.leaf == "weight"
    transposed = linear and checkpoint.linear == "in_out"
    return StoredTensor(name, parts, shape[::-1] if transposed else shape, fusion, transposed)


def _rope_pairs(
    spec: FamilySpec, slot: str, sizes: Sizes, checkpoint: Checkpoint
) -> RotaryPairs | None:
    """The rows that a table keeps in pairs although the model rotates halves."""
    halves = isinstance(spec.position, Rope) and spec.position.pairing == "half"
    if checkpoint.rope_rows != "pairs" or not halves:
        return None
    rotated = sizes.latent.rope_dim if sizes.latent else sizes.head_dim
    widths = dict.fromkeys(("q", "k", "q_up"), sizes.head_dim)
    if sizes.latent:
        widths["kv_down"] = sizes.latent.kv_rank + rotated
    return RotaryPairs(widths[slot], rotated) if slot in widths else None


def _interleaving(slot: str, rows: int, sizes: Sizes, checkpoint: Checkpoint) -> Interleaving:
    if slot != "qkv":
        return Interleaving(1, (rows, rows))
    queries, keys = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    if checkpoint.qkv == "blocked":
        return Interleaving(1, (queries, keys, keys))
    return Interleaving(sizes.kv_heads, (queries // sizes.kv_heads, sizes.head_dim, sizes.head_dim))
